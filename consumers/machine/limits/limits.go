package limits

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// Backend puts limits on groups of processes.
type Backend interface {
	// Name is what people call it: systemd, cgroup-v2, cgroup-v1, rlimits.
	Name() string
	// Prepare makes the empty group a program will be started in. It fails with
	// ErrConfirmation without the right to, and then leaves nothing behind.
	Prepare(ctx context.Context, unit string, l events.Limits) (LaunchSpec, []events.LimitEffect, error)
	// Attach puts limits on what runs: a process by its number, or with systemd a
	// unit. It gives the name the group has from now on.
	Attach(ctx context.Context, unit, target string, l events.Limits) (string, []events.LimitEffect, error)
	// Usage tells what a group uses. One that is gone is ErrNotFound.
	Usage(ctx context.Context, a events.LimitsApplied) (events.LimitUsage, error)
	// Revert takes limits away and lets the processes live. A group that is gone
	// is no error.
	Revert(ctx context.Context, a events.LimitsApplied) error
}

// Config is what the back ends need to know of the machine.
type Config struct {
	Root string // where /proc, /sys, /dev and /run are; "" is /
	UID  int
	Run  CommandRunner // starts systemd's programs
}

// CommandRunner runs a program to its end and gives what it wrote to standard output.
type CommandRunner func(ctx context.Context, argv ...string) (string, error)

// The names of the back ends, in the order in which they are preferred.
const (
	Systemd  = "systemd"
	CgroupV2 = "cgroup-v2"
	CgroupV1 = "cgroup-v1"
	Rlimits  = "rlimits"
)

// BackendNames lists the names in the order in which they are preferred.
func BackendNames() []string { return []string{Systemd, CgroupV2, CgroupV1, Rlimits} }

// Detect gives the first back end that this machine has, or the one with that
// name. One that is not there is ErrNotFound with the reason.
func Detect(cfg Config, name string) (Backend, error) {
	if name != "" && !slices.Contains(BackendNames(), name) {
		return nil, &events.Error{Op: "limits.Detect", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", name), Err: errors.New("there is no such back end"), Hint: "there are " + strings.Join(BackendNames(), ", ")}
	}
	var reasons []string
	for _, n := range BackendNames() {
		if name != "" && name != n {
			continue
		}
		b, err := openBackend(cfg, n)
		if err == nil {
			return b, nil
		}
		reasons = append(reasons, n+": "+err.Error())
	}
	return nil, &events.Error{Op: "limits.Detect", Kind: events.ErrNotFound, Subject: "back end for limits", Err: errors.New(strings.Join(reasons, "; ")), Hint: "without --backend the best one is taken"}
}

func openBackend(cfg Config, name string) (Backend, error) {
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
	return &events.Error{Op: op, Kind: events.ErrConfirmation, Subject: "control groups", Err: err, Hint: "run the command as root, or take --backend rlimits"}
}
