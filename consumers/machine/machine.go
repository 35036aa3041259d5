// Package machine holds the types that the roles towards the machine share: what a
// package manager reports about a step that it runs. A consumer declares the
// role that it needs, as a small interface of its own, and names only these types;
// so it imports no back end, and a second back end needs no change in it.
//
// The packages below this folder are the only ones in consumers/ that run programs
// or touch files outside the state directory:
//
//	apt         apt and dpkg
//	confstate   configuration files and settings
//	blobstore   the store of package files and contents that an undo needs
//	limits      resource limits of programs
//	fakeapt     a package manager in memory, for tests
//	testbed     an isolated Debian root with the real apt, for tests
package machine

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"cortex/events"
)

// LockHolder is the process that holds the package manager's lock.
type LockHolder struct {
	PID     int
	Program string // its name, or "" when it cannot be read
}

// String returns "apt-get (process 1234)".
func (h LockHolder) String() string {
	switch {
	case h.PID <= 0: // in another container, or an open file description's lock
		return "another process"
	case h.Program == "":
		return "process " + strconv.Itoa(h.PID)
	}
	return fmt.Sprintf("%s (process %d)", h.Program, h.PID)
}

// RunOptions configures one run of a step.
type RunOptions struct {
	// Label names the step's files; it is unique among running steps.
	Label string
	// OnProgress receives progress; it must not block.
	OnProgress func(events.Progress)
	// Gate is called before packages change. Optional.
	Gate Gate
}

// Gate decides, while the package manager's lock is held and before packages
// change, whether the pending actions may happen. An error is a veto: nothing
// changes.
type Gate func(ctx context.Context, pending []PendingAction) error

// PendingAction is one action that is about to happen to a package.
type PendingAction struct {
	events.PackageKey
	Old, New events.Version // "" when there is none
	Deb      string         // path of the package file; "" when nothing is unpacked
	Remove   bool           // remove or purge: apt does not report which
}

// StepResult is the end of a step.
type StepResult struct {
	Argv     []string
	ExitCode int    // -1: killed by a signal, or never started
	Output   string // the last MaxOutputBytes of stdout and stderr, sanitized
	PID      int
	Duration time.Duration
}
