package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// rlimits are the limits that a single process can have without control groups.
type rlimits struct{ cfg Config }

func newRlimits(cfg Config) Backend { return &rlimits{cfg} }

// Name implements [Backend].
func (*rlimits) Name() string { return Rlimits }

// processLimits are the limits of a single process.
type processLimits struct {
	rlimits map[string]uint64 // by the resource of the effect
	cpus    []int
}

// rlimitResources are the kernel's numbers, by the resource of the effect.
var rlimitResources = map[string]int{memory: unix.RLIMIT_AS, pids: unix.RLIMIT_NPROC}

// plan finds which limits process pid of a user can have; 0 is this process.
func (b *rlimits) plan(pid, uid int, l events.Limits) (processLimits, effects, error) {
	want := processLimits{rlimits: map[string]uint64{}}
	var e effects
	if l.MemoryBytes > 0 {
		want.rlimits[memory] = uint64(l.MemoryBytes)
		e = append(e, events.LimitEffect{Resource: memory, Value: strconv.FormatInt(l.MemoryBytes, 10), Enforced: true, By: "RLIMIT_AS", Reason: "address space of each process, not memory of all together"})
	}
	var err error
	if want.cpus, err = b.chooseCPUs(&e, pid, l); err != nil {
		return want, nil, err
	}
	if l.Pids > 0 {
		value := strconv.FormatInt(l.Pids, 10)
		if uid == 0 {
			e.advisory(pids, value, "", "RLIMIT_NPROC does not limit root")
		} else {
			want.rlimits[pids] = uint64(l.Pids)
			e = append(e, events.LimitEffect{Resource: pids, Value: value, Enforced: true, By: "RLIMIT_NPROC", Reason: "counted over all processes of the user"})
		}
	}
	if l.IOWeight > 0 {
		e.advisory(ioWeight, strconv.FormatInt(l.IOWeight, 10), "", "disk weights need control groups")
	}
	if l.OOMScore < 0 && b.cfg.UID != 0 {
		e.advisory(oom, strconv.Itoa(l.OOMScore), "", "only root may lower it")
	}
	e.adviseGPU(l, "only control groups deny device files")
	e.adviseGPUMemory(l, "it needs the kernel's dmem controller")
	return want, e, nil
}

// Try implements [Backend].
func (b *rlimits) Try(_ context.Context, _ string, l events.Limits) ([]events.LimitEffect, error) {
	_, e, err := b.plan(0, b.cfg.UID, l)
	if b.mayScore(l) {
		e.enforced(oom, strconv.Itoa(l.OOMScore), "oom_score_adj")
	}
	return e, err
}

// mayScore reports whether there is an oom score to set, and this process may set it.
func (b *rlimits) mayScore(l events.Limits) bool {
	return l.OOMScore > 0 || l.OOMScore < 0 && b.cfg.UID == 0
}

// Start implements [Backend].
func (b *rlimits) Start(_ context.Context, p Placement, note NoteFunc) ([]events.LimitEffect, error) {
	want, e, err := b.plan(p.PID, p.UID, p.Limits)
	if err == nil {
		err = note(p.Unit, nil)
	}
	if err != nil {
		return nil, err
	}
	for resource, n := range want.rlimits {
		old, err := readRlimit(p.PID, resource)
		if err == nil {
			n = min(n, old.Max)
			err = writeRlimit(p.PID, resource, unix.Rlimit{Cur: n, Max: n})
		}
		if err != nil {
			return nil, err
		}
	}
	if err := b.setAffinity(p.PID, want.cpus); err != nil {
		return nil, err
	}
	if !b.mayScore(p.Limits) {
		return e, nil
	}
	return e, setOOMScore(b.cfg.Root, p, &e)
}

func readRlimit(pid int, resource string) (l unix.Rlimit, err error) {
	if err = unix.Prlimit(pid, rlimitResources[resource], nil, &l); err != nil {
		err = permissionError("limits.readRlimit", fmt.Errorf("read the limit %s of process %d: %w", resource, pid, err))
	}
	return l, err
}

func writeRlimit(pid int, resource string, l unix.Rlimit) error {
	if err := unix.Prlimit(pid, rlimitResources[resource], &l, nil); err != nil {
		return permissionError("limits.writeRlimit", fmt.Errorf("set the limit %s of process %d: %w", resource, pid, err))
	}
	return nil
}

// setAffinity binds every thread of a process to processors. A thread that starts meanwhile
// inherits the binding of the one that starts it, or is found by the second pass.
func (b *rlimits) setAffinity(pid int, list []int) error {
	if len(list) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, n := range list {
		set.Set(n)
	}
	for range 2 {
		threads, _ := filepath.Glob(filepath.Join(b.cfg.Root, "proc", strconv.Itoa(pid), "task/*")) // well formed
		for _, t := range threads {
			tid, err := strconv.Atoi(filepath.Base(t))
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
				return permissionError("limits.setAffinity", fmt.Errorf("bind process %d to processors: %w", pid, err))
			}
		}
	}
	return nil
}

// chooseCPUs returns the named processors, or as many as the share of time needs.
func (b *rlimits) chooseCPUs(e *effects, pid int, l events.Limits) ([]int, error) {
	const own = "a program may bind itself to others"
	var now unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &now); err != nil {
		return nil, fmt.Errorf("read the processors: %w", err)
	}
	var list []int
	if l.CPUs != "" {
		wanted, err := l.CPUs.Indexes()
		if err != nil {
			return nil, err
		}
		for _, n := range wanted {
			if now.IsSet(n) {
				list = append(list, n)
			}
		}
		if len(list) == 0 {
			e.advisory(cpus, string(l.CPUs), "", "the process may use none of them")
		} else {
			e.advisory(cpus, string(l.CPUs), "sched_setaffinity", own)
		}
	}
	if l.CPUMillis == 0 {
		return list, nil
	}
	if len(list) == 0 {
		for n := 0; n < len(now)*64; n++ {
			if now.IsSet(n) {
				list = append(list, n)
			}
		}
	}
	whole := min(len(list), int((l.CPUMillis+999)/1000))
	list = list[:whole]
	e.advisory(cpu, strconv.FormatInt(l.CPUMillis, 10), "sched_setaffinity", fmt.Sprintf("quotas need control groups; bound to %d of the processors, and %s", whole, own))
	return list, nil
}

// Attach implements [Backend]: it sets the soft limits of one process, because not every user
// could raise a hard limit again. Processes that it starts later inherit them.
func (b *rlimits) Attach(_ context.Context, p Placement, note NoteFunc) (string, []events.LimitEffect, error) {
	if err := checkNumber(p); err != nil {
		return "", nil, err
	}
	l := p.Limits
	l.OOMScore = 0
	want, list, err := b.plan(p.PID, p.UID, l)
	if err != nil {
		return "", nil, err
	}
	before := map[string]unix.Rlimit{}
	var bound unix.CPUSet
	if err := unix.SchedGetaffinity(p.PID, &bound); err != nil {
		return "", nil, fmt.Errorf("read the processors of process %d: %w", p.PID, err)
	}
	for i := range list {
		r := list[i].Resource
		if list[i].By == "sched_setaffinity" {
			list[i].Before = formatCPUSet(bound)
		}
		if _, ok := want.rlimits[r]; !ok {
			continue
		}
		if before[r], err = readRlimit(p.PID, r); err != nil {
			return "", nil, err
		}
		list[i].Enforced, list[i].Before = false, fmt.Sprintf("%d %d", before[r].Cur, before[r].Max)
		list[i].Reason += "; the program may raise it again"
	}
	addStartOnlyEffects(&list, p.Limits)
	if err := note(p.Unit, list); err != nil {
		return "", nil, err
	}
	for r, n := range want.rlimits {
		if err := writeRlimit(p.PID, r, unix.Rlimit{Cur: min(n, before[r].Max), Max: before[r].Max}); err != nil {
			return "", nil, errors.Join(err, b.restore(p.PID, list))
		}
	}
	if err := b.setAffinity(p.PID, want.cpus); err != nil {
		return "", nil, errors.Join(err, b.restore(p.PID, list))
	}
	return p.Unit, list, nil
}

// formatCPUSet lists processors: 0,1,5.
func formatCPUSet(s unix.CPUSet) string {
	var out []string
	for n := range len(s) * 64 {
		if s.IsSet(n) {
			out = append(out, strconv.Itoa(n))
		}
	}
	return strings.Join(out, ",")
}

// Usage implements [Backend]: of the one process.
func (b *rlimits) Usage(_ context.Context, a events.LimitsApplied) (events.LimitUsage, error) {
	u := events.UnknownUsage
	data, err := os.ReadFile(filepath.Join(b.cfg.Root, "proc", strconv.Itoa(a.PID), "status"))
	if err != nil || a.PID == 0 {
		return u, groupGoneError(a.Unit)
	}
	kib := func(name string) int64 {
		for line := range strings.Lines(string(data)) {
			if v, ok := strings.CutPrefix(line, name+":"); ok {
				if n := parseNumber(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), " kB"))); n >= 0 {
					return n << 10
				}
			}
		}
		return -1
	}
	u.MemoryBytes, u.MemoryPeakBytes = kib("VmRSS"), kib("VmHWM")
	return u, nil
}

// Revert implements [Backend]: it restores what an attached process had. A program that was
// started with its limits keeps them until it ends.
func (b *rlimits) Revert(_ context.Context, a events.LimitsApplied) error {
	if a.How != events.LimitsAttach || !fileExists(filepath.Join(b.cfg.Root, "proc"), strconv.Itoa(a.PID)) {
		return nil
	}
	return b.restore(a.PID, a.Effects)
}

// restore sets the values from before.
func (b *rlimits) restore(pid int, list []events.LimitEffect) error {
	for _, e := range list {
		switch {
		case e.Before == "":
		case e.By == "sched_setaffinity":
			list, err := events.CPUs(e.Before).Indexes()
			if err != nil {
				return err
			}
			if err := b.setAffinity(pid, list); err != nil {
				return err
			}
		default:
			var l unix.Rlimit
			if _, err := fmt.Sscanf(e.Before, "%d %d", &l.Cur, &l.Max); err != nil {
				return fmt.Errorf("read the recorded limit of process %d: %w", pid, err)
			}
			if err := writeRlimit(pid, e.Resource, l); err != nil {
				return err
			}
		}
	}
	return nil
}
