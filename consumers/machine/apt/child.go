package apt

import (
	"errors"
	"os/exec"
)

// Child is a running program. Kill is for children that only read.
type Child interface {
	PID() int
	// Wait waits for the end of the child; call it once. If the child failed, the error
	// has a method ExitCode() int: the exit status, or -1 when a signal ended it.
	Wait() error
	Kill()
}

// StartFunc starts a prepared program with exactly its Path, Args, Env, Dir, Stdout,
// Stderr and ExtraFiles, in a session of its own. Another process may start it; the
// child then inherits the same descriptors as a child of ours.
type StartFunc func(cmd *exec.Cmd) (Child, error)

// start starts every program of this package.
func (m *Machine) start(cmd *exec.Cmd) (Child, error) {
	if m.cfg.Start != nil {
		return m.cfg.Start(cmd)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return ownChild{cmd}, nil
}

// ownChild is a child of this process.
type ownChild struct{ *exec.Cmd }

func (c ownChild) PID() int { return c.Process.Pid }
func (c ownChild) Kill()    { _ = c.Process.Kill() }

// exitCode returns the exit status in the error of [Child.Wait]; -1 if a signal ended
// the child or the status is unknown.
func exitCode(err error) int {
	var exit interface{ ExitCode() int }
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}
