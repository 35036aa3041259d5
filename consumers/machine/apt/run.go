package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cortex/consumers/machine"
	"cortex/events"
)

// statusPollInterval is how often the status file of a running step is read.
const statusPollInterval = 40 * time.Millisecond

// Run carries out one step and waits for its end. The child writes output and status to
// files, so it keeps running if this process ends. When ctx ends, Run returns ctx.Err()
// and the child keeps running. A child that fails is an ErrApt error with the message
// of apt or dpkg.
func (m *Machine) Run(ctx context.Context, s events.Step, o machine.RunOptions) (machine.StepResult, error) {
	if err := checkStep(s); err != nil {
		return machine.StepResult{Argv: m.StepArgv(s), ExitCode: -1}, err
	}
	start := time.Now()
	for {
		result, err := m.runOnce(ctx, s, o)
		left := lockTimeout - time.Since(start)
		if !needsNoPlanning(s.Op) || !errors.Is(err, events.ErrLockBusy) || result.PID == 0 || left <= 0 {
			return result, err
		}
		// Another process took the lock after our own check. apt-get would have
		// waited; dpkg and apt-mark changed nothing.
		if err := m.WaitForLock(ctx, left, nil); err != nil {
			return result, err
		}
	}
}

func (m *Machine) runOnce(ctx context.Context, s events.Step, o machine.RunOptions) (machine.StepResult, error) {
	c, _ := stepCommand(s)
	result := machine.StepResult{Argv: c.argv, ExitCode: -1}
	native, err := m.NativeArch(ctx)
	if err != nil {
		return result, err
	}
	removeDebs, err := m.placeDebs(s, native)
	if err != nil {
		removeDebs()
		return result, err
	}
	files, err := m.openFiles(o.Label)
	if err != nil {
		return result, err
	}
	defer files.close()
	if c.reportsProgress() {
		c = c.withStatus()
		if o.Gate != nil {
			if files.gate, err = openGate(); err != nil {
				return result, err
			}
			defer files.gate.close()
			c = c.withGate()
		}
	}
	start := time.Now()
	child, ended, err := m.launch(c, files)
	if err != nil {
		files.removeAndUnlock()
		return result, err
	}
	if files.gate != nil {
		m.serveGate(ctx, files.gate, o.Gate, native)
	}
	result.PID = child.PID()
	err = files.watch(ctx, ended, o.OnProgress)
	result.Duration = time.Since(start)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return result, err // the child still writes to its files
	}
	result.ExitCode = exitCode(err)
	output := files.readOutput()
	result.Output = events.Tail(output, events.MaxOutputBytes)
	files.removeAndUnlock()
	removeDebs()
	if files.gate != nil {
		if veto := files.gate.wait(); veto != nil {
			return result, veto
		}
	}
	if err != nil {
		return result, stepError(s, output, err)
	}
	return result, nil
}

// launch starts a child that writes to the files; ended receives the result of its end.
// apt's programs inherit the running lock and do not pass it on. dpkg would pass it on
// to maintainer scripts and to the services that they start, which would then hold the
// lock as long as they run. So dpkg does not inherit it; its own lock shows that it
// runs.
func (m *Machine) launch(c command, files *stepFiles) (Child, <-chan error, error) {
	cmd := m.prepare(c)
	cmd.Stdout, cmd.Stderr = files.output, files.output
	if !c.passesFilesOn() {
		cmd.ExtraFiles = []*os.File{files.status, files.lock} // descriptors 3 and 4
		if files.gate != nil {
			cmd.ExtraFiles = append(cmd.ExtraFiles, files.gate.childActions, files.gate.childVerdict) // 5 and 6
		}
	}
	child, err := m.start(cmd)
	if err != nil {
		return nil, nil, startError(c.program(), err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	return child, ended, nil
}

func stepError(s events.Step, output string, err error) error {
	var exit interface{ ExitCode() int }
	if !errors.As(err, &exit) {
		return fmt.Errorf("wait for step %s: %w", s.Op, err)
	}
	e := &events.Error{Op: "apt.Run", Kind: events.ErrApt, Err: errors.New(failureReason(output, err))}
	switch {
	case strings.Contains(output, "Could not get lock"), strings.Contains(output, "dpkg frontend lock"), strings.Contains(output, "dpkg database lock"):
		e.Kind, e.Hint = events.ErrLockBusy, "another package manager is running; try again when it is done"
	case strings.Contains(output, "No space left on device"):
		e.Hint = "free disk space, then undo the transaction or run it again"
	case strings.Contains(output, "Failed to fetch"):
		e.Hint = "run 'apt-get update', or check the network"
	}
	return e
}

// stepFiles are the files of a running step.
type stepFiles struct {
	output, status *os.File // the child writes them
	lock           *os.File // locked as long as the child or this process runs
	statusAt       int64    // read position in status
	gate           *gate    // nil without a gate
}

// openFiles creates the files of a step and takes the running lock. Every child inherits
// the lock, so it stays locked until the last child ends, even if this process ends.
func (m *Machine) openFiles(label string) (*stepFiles, error) {
	fail := func(err error) (*stepFiles, error) {
		return nil, &events.Error{Op: "apt.openFiles", Kind: events.ErrFull, Subject: m.cfg.WorkDir, Err: err, Hint: "check that the disk has free space"}
	}
	if err := os.MkdirAll(m.cfg.WorkDir, 0o700); err != nil {
		return fail(err)
	}
	lock, err := m.openRunningLock()
	if err != nil {
		return fail(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, &events.Error{Op: "apt.openFiles", Kind: events.ErrLockBusy, Err: errors.New("an earlier step is still running")}
	}
	f := &stepFiles{lock: lock}
	for _, part := range []struct {
		file   **os.File
		suffix string
	}{{&f.output, ".out"}, {&f.status, ".status"}} {
		path := filepath.Join(m.cfg.WorkDir, filepath.Base(label)+part.suffix)
		*part.file, err = os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR|os.O_APPEND, 0o600)
		if err != nil {
			unlock(f.lock)
			f.close()
			return fail(err)
		}
	}
	return f, nil
}

func (m *Machine) openRunningLock() (*os.File, error) {
	return os.OpenFile(filepath.Join(m.cfg.WorkDir, "running.lock"), os.O_CREATE|os.O_RDWR, 0o600)
}

func (f *stepFiles) close() {
	for _, file := range []*os.File{f.output, f.status, f.lock} {
		if file != nil {
			file.Close()
		}
	}
}

// removeAndUnlock removes the files of a child that has ended, and unlocks. To close the
// lock file is not enough: between fork and exec, a child that another goroutine starts
// has a copy of every descriptor, and so the lock.
func (f *stepFiles) removeAndUnlock() {
	_ = os.Remove(f.output.Name())
	_ = os.Remove(f.status.Name())
	unlock(f.lock)
}

func unlock(f *os.File) { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }

// watch reports progress until the child has ended or ctx is done.
func (f *stepFiles) watch(ctx context.Context, ended <-chan error, onProgress func(events.Progress)) error {
	tick := time.NewTicker(statusPollInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			f.report(onProgress)
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			f.report(onProgress)
		}
	}
}

// report reads the new whole lines of the status file and calls onProgress with each.
func (f *stepFiles) report(onProgress func(events.Progress)) {
	if onProgress == nil {
		return
	}
	buf := make([]byte, 16<<10)
	for {
		n, _ := f.status.ReadAt(buf, f.statusAt)
		end := bytes.LastIndexByte(buf[:n], '\n') + 1
		if end == 0 && n == len(buf) {
			end = n // apt does not write such a long line
		}
		if end == 0 {
			return
		}
		f.statusAt += int64(end)
		for line := range strings.Lines(string(buf[:end])) {
			if p, ok := parseStatus(line); ok {
				onProgress(p)
			}
		}
	}
}

func (f *stepFiles) readOutput() string {
	const most = 4 * events.MaxOutputBytes // sanitizing only shortens it
	info, err := f.output.Stat()
	if err != nil {
		return ""
	}
	from := max(0, info.Size()-most)
	b, _ := io.ReadAll(io.NewSectionReader(f.output, from, most))
	return SanitizeOutput(string(b))
}

// parseStatus parses a line of APT::Status-Fd:
// dlstatus|pmstatus|pmerror|pmconffile:WHAT:PERCENT:TEXT.
func parseStatus(line string) (events.Progress, bool) {
	f := strings.SplitN(strings.TrimSpace(SanitizeOutput(line)), ":", 4)
	if len(f) < 4 {
		return events.Progress{}, false
	}
	// the package may have an architecture: pmstatus:libc6:amd64:40.0:text
	if _, err := parsePercent(f[2]); err != nil {
		parts := strings.SplitN(f[3], ":", 2)
		if len(parts) != 2 {
			return events.Progress{}, false
		}
		f = []string{f[0], f[1] + ":" + f[2], parts[0], parts[1]}
	}
	percent, err := parsePercent(f[2])
	if err != nil {
		return events.Progress{}, false
	}
	p := events.Progress{Package: f[1], Percent: percent, Message: f[3]}
	switch f[0] {
	case "dlstatus":
		p.Stage, p.Package = events.StageDownload, ""
	case "pmstatus", "pmerror", "pmconffile":
		p.Stage = events.StageApply
		if f[1] == "dpkg-exec" {
			p.Package = ""
		}
	default:
		return events.Progress{}, false
	}
	return p, true
}

func parsePercent(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= 100) { // also false for NaN
		return 0, fmt.Errorf("invalid percentage %q", s)
	}
	return v, nil
}
