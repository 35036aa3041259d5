package apt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"

	"cortex/events"
)

// aptAnswer is what apt said of a step.
type aptAnswer struct {
	packages []hookPackage
	text     string
}

// askApt runs apt with the step's own arguments, but only to print what it would
// fetch, with the hook listening. What apt would refuse without a further yes
// (holds, downgrades, essential packages) is allowed here, so that the plan can
// be seen; the step itself does not get these.
func (m *Machine) askApt(ctx context.Context, s events.Step) (aptAnswer, error) {
	s.AllowDowngrade = true
	s.AllowHeld = s.AllowHeld || s.Op != events.OpUpgrade || len(s.Targets) > 0
	native, err := m.NativeArch(ctx)
	if err != nil {
		return aptAnswer{}, err
	}
	takeBack, err := m.placeDebs(s, native)
	defer takeBack()
	if err != nil {
		return aptAnswer{}, err
	}
	marks, done, err := m.copyMarks()
	if err != nil {
		return aptAnswer{}, err
	}
	defer done()
	step, _ := stepCommand(s)
	c := planningCommand(step, marks)
	pipeR, pipeW, err := os.Pipe()
	if err != nil {
		return aptAnswer{}, err
	}
	defer pipeR.Close()
	cmd := m.prepare(c)
	null, err := os.Open(os.DevNull)
	if err != nil {
		pipeW.Close()
		return aptAnswer{}, err
	}
	defer null.Close()
	cmd.ExtraFiles = []*os.File{null, pipeW} // descriptors 3 and 4
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	child, err := m.start(cmd)
	pipeW.Close()
	if err != nil {
		return aptAnswer{}, startError(c.program(), err)
	}
	heard := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(pipeR)
		heard <- b
	}()
	err = waitOrKill(ctx, child)
	hook := <-heard
	if ctx.Err() != nil {
		return aptAnswer{}, ctx.Err()
	}
	if err != nil {
		return aptAnswer{}, planError(s, out.String(), err)
	}
	packages, err := parseHook(hook)
	return aptAnswer{packages, out.String()}, err
}

// waitOrKill waits for a child that only reads; it may be killed.
func waitOrKill(ctx context.Context, child Child) error {
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		child.Kill()
		<-done
		return ctx.Err()
	}
}

// copyMarks makes a copy of apt's automatic marks for one run that only
// plans. Although it is told to print and nothing else, apt writes down that a
// package which is named becomes manual (seen with apt 2.6); it may do so in the
// copy. The path is as seen inside the root.
func (m *Machine) copyMarks() (inside string, done func(), err error) {
	fail := func(err error) (string, func(), error) {
		return "", nil, &events.Error{Op: "apt.scratchMarks", Kind: events.ErrUnavailable, Subject: "a plan's working directory", Err: err, Hint: "is /tmp full, or not writable?"}
	}
	top := "/tmp"
	if m.cfg.Start != nil { // who runs apt may have another /tmp
		top = m.cfg.WorkDir
		if err := os.MkdirAll(top, 0o700); err != nil {
			return fail(err)
		}
	}
	dir, err := os.MkdirTemp(m.hostPath(top), "cortex-plan-")
	if err != nil {
		return fail(err)
	}
	done = func() { _ = os.RemoveAll(dir) }
	marks, err := os.ReadFile(m.hostPath(marksFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "extended_states"), marks, 0o600)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		done()
		return fail(err)
	}
	return path.Join(top, filepath.Base(dir), "extended_states"), done, nil
}
