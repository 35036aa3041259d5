package apt

import (
	"errors"
	"os/exec"
)

// Child is a program that runs. Nobody kills one that changes the machine.
type Child interface {
	PID() int
	// Wait waits for its end, once. A child that failed gives an error with a method
	// ExitCode() int: its exit status, or -1 when a signal ended it.
	Wait() error
	Kill()
}

// StartFunc starts a program that was prepared, with exactly its Path, Args, Env, Dir,
// Stdout, Stderr and ExtraFiles, in a session of its own. Where it is another
// process that starts it, what the child inherits is what it would inherit from us.
type StartFunc func(cmd *exec.Cmd) (Child, error)

// start is how every program is started.
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

// exitCode is the exit status that a child's end tells: -1 when a signal ended it, or
// when it is not known.
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
