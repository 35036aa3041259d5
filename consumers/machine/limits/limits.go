package limits

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"cortex/events"
)

// Backend puts limits on groups of processes. Where it fails it has reverted what it did.
type Backend interface {
	// Name is the name that users write: systemd, cgroup-v2, cgroup-v1, rlimits.
	Name() string
	// Try returns the effects that limits would have. Control groups are tried on an
	// empty group, which it removes.
	Try(ctx context.Context, unit string, l events.Limits) ([]events.LimitEffect, error)
	// Start puts limits on a process that waits in [WaitAndExec].
	Start(ctx context.Context, p Placement, note NoteFunc) ([]events.LimitEffect, error)
	// Attach puts limits on a running process, or with systemd on a unit. It returns the
	// name that the group has from now on.
	Attach(ctx context.Context, p Placement, note NoteFunc) (unit string, e []events.LimitEffect, err error)
	// Usage returns what a group uses. It fails with ErrNotFound when the group is gone.
	Usage(ctx context.Context, a events.LimitsApplied) (events.LimitUsage, error)
	// Revert removes limits and leaves the processes running. It does nothing when the
	// group is gone.
	Revert(ctx context.Context, a events.LimitsApplied) error
}

// Placement says which process or unit gets which limits.
type Placement struct {
	Unit   string // the name of the group
	Target string // what to attach to: a process number, or a unit
	PID    int    // 0 for a unit
	UID    int    // the user that the process belongs to
	Limits events.Limits
}

// NoteFunc stores the name of the group and the values from before. A back end calls it
// once, before it changes anything, and gives up where it fails.
type NoteFunc func(unit string, e []events.LimitEffect) error

// Config is what the back ends need to know of the machine.
type Config struct {
	Root string // where /proc, /sys, /dev and /run are; "" is /
	UID  int    // the user that this process runs as
	PID  int    // the process inside whose control group groups are made; 0 is this one
	Run  CommandRunner
}

// CommandRunner runs a program to its end and returns its standard output.
type CommandRunner func(ctx context.Context, argv ...string) (string, error)

// RunCommand runs one of systemd's programs.
func RunCommand(ctx context.Context, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out, messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", argv[0], err, events.Tail(strings.TrimSpace(messages.String()), 300))
	}
	return out.String(), nil
}

// The names of the back ends.
const (
	Systemd  = "systemd"
	CgroupV2 = "cgroup-v2"
	CgroupV1 = "cgroup-v1"
	Rlimits  = "rlimits"
)

// BackendNames lists the names, the preferred one first.
func BackendNames() []string { return []string{Systemd, CgroupV2, CgroupV1, Rlimits} }

// Detect returns the back end of that name, or for "" the first that this machine has. It
// fails with ErrNotFound and the reason where a back end is missing.
func Detect(cfg Config, name string) (Backend, error) {
	if name != "" && !slices.Contains(BackendNames(), name) {
		return nil, &events.Error{Op: "limits.Detect", Kind: events.ErrUsage, Subject: "--backend", Err: fmt.Errorf("unknown back end %q", name), Hint: "use one of " + strings.Join(BackendNames(), ", ")}
	}
	var reasons []string
	for _, n := range BackendNames() {
		if name != "" && name != n {
			continue
		}
		b, err := detect(cfg, n)
		if err == nil {
			return b, nil
		}
		reasons = append(reasons, n+": "+err.Error())
	}
	return nil, &events.Error{Op: "limits.Detect", Kind: events.ErrNotFound, Subject: "back end for limits", Err: errors.New(strings.Join(reasons, "; ")), Hint: "omit --backend to use the best one that is available"}
}

func detect(cfg Config, name string) (Backend, error) {
	switch name {
	case Systemd:
		return newSystemd(cfg)
	case CgroupV2:
		return newCgroupV2(cfg)
	case CgroupV1:
		return newCgroupV1(cfg)
	}
	return newRlimits(cfg), nil
}

// Open returns the back end of that name for the usage and the revert of groups that exist.
// It changes nothing.
func Open(cfg Config, name string) (Backend, error) {
	switch name {
	case CgroupV2:
		return openCgroupV2(cfg)
	case CgroupV1:
		return openCgroupV1(cfg)
	}
	return Detect(cfg, name)
}

// effects collects what becomes of the limits.
type effects []events.LimitEffect

func (e *effects) enforced(resource, value, by string) {
	*e = append(*e, events.LimitEffect{Resource: resource, Value: value, Enforced: true, By: by})
}

func (e *effects) advisory(resource, value, by, reason string) {
	*e = append(*e, events.LimitEffect{Resource: resource, Value: value, By: by, Reason: reason})
}

// The resources, as effects name them.
const (
	memory    = "memory"
	cpu       = "cpu"
	cpus      = "cpus"
	pids      = "pids"
	ioWeight  = "io"
	oom       = "oom"
	gpu       = "gpu"
	gpuMemory = "gpu-memory"
)

func permissionError(op string, err error) error {
	return &events.Error{Op: op, Kind: events.ErrConfirmation, Subject: "control groups", Err: err, Hint: "run the command as root, or use --backend rlimits"}
}
