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

// aptAnswer is apt's answer about a step: the packages from its hook, and its output.
type aptAnswer struct {
	packages []hookPackage
	text     string
}

// askApt runs apt with the arguments of the step and the option that makes it only
// print what it would fetch. Its JSON hook reports the plan. Actions that apt refuses
// by default (on holds, downgrades, essential packages) are allowed in this run only,
// so that the plan shows them.
func (m *Machine) askApt(ctx context.Context, s events.Step) (aptAnswer, error) {
	s.AllowDowngrade = true
	s.AllowHeld = s.AllowHeld || s.Op != events.OpUpgrade || len(s.Targets) > 0
	native, err := m.NativeArch(ctx)
	if err != nil {
		return aptAnswer{}, err
	}
	removeDebs, err := m.placeDebs(s, native)
	defer removeDebs()
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
	received := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(pipeR)
		received <- b
	}()
	err = waitOrKill(ctx, child)
	hook := <-received
	if ctx.Err() != nil {
		return aptAnswer{}, ctx.Err()
	}
	if err != nil {
		return aptAnswer{}, planError(s, out.String(), err)
	}
	packages, err := parseHook(hook)
	return aptAnswer{packages, out.String()}, err
}

// waitOrKill waits for a child that only reads. It kills the child when ctx ends.
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

// copyMarks copies apt's automatic marks for one planning run. Even with --print-uris,
// apt 2.6 marks the named packages as manual; it writes that to the copy. The returned
// path is inside the root. done removes the copy.
func (m *Machine) copyMarks() (inside string, done func(), err error) {
	fail := func(err error) (string, func(), error) {
		return "", nil, &events.Error{Op: "apt.copyMarks", Kind: events.ErrUnavailable, Subject: "the working directory of a plan", Err: err, Hint: "check that /tmp is writable and has free space"}
	}
	top := "/tmp"
	if m.cfg.Start != nil { // the process that starts apt may have another /tmp
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
