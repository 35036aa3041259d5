package limits

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// rlimits is what a process can be given without control groups.
type rlimits struct{ cfg Config }

func newRlimits(cfg Config) Backend { return &rlimits{cfg} }

// Name implements [Backend].
func (*rlimits) Name() string { return Rlimits }

// Prepare implements [Backend].
func (b *rlimits) Prepare(_ context.Context, _ string, l events.Limits) (LaunchSpec, []events.LimitEffect, error) {
	entry := LaunchSpec{Rlimits: map[string]uint64{}, Env: gpuEnv(l.GPUs)}
	var e effects
	if l.MemoryBytes > 0 {
		entry.Rlimits["as"] = uint64(l.MemoryBytes)
		e = append(e, events.LimitEffect{Resource: memory, Value: strconv.FormatInt(l.MemoryBytes, 10), Enforced: true, By: "RLIMIT_AS", Reason: "address space of each process, not memory of all together"})
	}
	list, err := b.chooseCPUs(&e, l)
	if err != nil {
		return LaunchSpec{}, nil, err
	}
	entry.CPUs = list
	if l.Pids > 0 {
		value := strconv.FormatInt(l.Pids, 10)
		if b.cfg.UID == 0 {
			e.advisory(pids, value, "", "RLIMIT_NPROC does not bind root")
		} else {
			entry.Rlimits["nproc"] = uint64(l.Pids)
			e = append(e, events.LimitEffect{Resource: pids, Value: value, Enforced: true, By: "RLIMIT_NPROC", Reason: "counted over all processes of the user"})
		}
	}
	if l.IOWeight > 0 {
		e.advisory(ioWeight, strconv.FormatInt(l.IOWeight, 10), "", "weights for disks need control groups")
	}
	switch {
	case l.OOMScore < 0 && b.cfg.UID != 0:
		e.advisory(oom, strconv.Itoa(l.OOMScore), "", "only root may lower it")
	case l.OOMScore != 0:
		entry.OOMScore = l.OOMScore
		e.enforced(oom, strconv.Itoa(l.OOMScore), "oom_score_adj")
	}
	e.adviseGPU(l, "device files are denied by control groups only")
	e.adviseGPUMemory(l, "it needs the kernel's dmem controller")
	return entry, e, nil
}

// chooseCPUs chooses the processors: those that are named, or as many as the share of
// time needs. A program may widen its own choice.
func (b *rlimits) chooseCPUs(e *effects, l events.Limits) ([]int, error) {
	const own = "a program may bind itself to others"
	var now unix.CPUSet
	if err := unix.SchedGetaffinity(0, &now); err != nil {
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
			e.advisory(cpus, string(l.CPUs), "", "none of them may be used here")
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
	e.advisory(cpu, strconv.FormatInt(l.CPUMillis, 10), "sched_setaffinity", fmt.Sprintf("quotas need control groups; bound to %d whole of them, and %s", whole, own))
	return list, nil
}

// Attach implements [Backend]: limits of one process, which those it starts later
// inherit.
func (b *rlimits) Attach(ctx context.Context, unit, target string, l events.Limits) (string, []events.LimitEffect, error) {
	if err := checkProcess(b.cfg.Root, target); err != nil {
		return "", nil, err
	}
	pid, err := strconv.Atoi(target)
	if err != nil {
		return "", nil, err
	}
	l.OOMScore = 0
	entry, list, err := b.Prepare(ctx, unit, l)
	if err != nil {
		return "", nil, err
	}
	var bound unix.CPUSet
	if err := unix.SchedGetaffinity(pid, &bound); err != nil {
		return "", nil, fmt.Errorf("read the processors of process %d: %w", pid, err)
	}
	for i := range list {
		name := map[string]string{memory: "as", pids: "nproc"}[list[i].Resource]
		if n, ok := entry.Rlimits[name]; ok {
			// A hard limit could not be given back everywhere, so the soft one is set.
			var old unix.Rlimit
			err := unix.Prlimit(pid, rlimitResources[name], nil, &old)
			if err == nil {
				err = unix.Prlimit(pid, rlimitResources[name], &unix.Rlimit{Cur: min(n, old.Max), Max: old.Max}, nil)
			}
			if err != nil {
				return "", nil, permissionError("limits.Attach", fmt.Errorf("limit process %d: %w", pid, err))
			}
			list[i].Enforced, list[i].Before = false, fmt.Sprintf("%d %d", old.Cur, old.Max)
			list[i].Reason += "; a program that runs may raise it again"
		}
		if list[i].By == "sched_setaffinity" {
			list[i].Before = formatCPUSet(bound)
		}
	}
	if err := setAffinity(pid, entry.CPUs); err != nil {
		return "", nil, err
	}
	return unit, list, nil
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

// Revert implements [Backend]: gives back what was recorded. A program that was
// started with its limits keeps them until it ends.
func (b *rlimits) Revert(_ context.Context, a events.LimitsApplied) error {
	if a.How != "attach" || checkProcess(b.cfg.Root, a.Target) != nil {
		return nil
	}
	pid, err := strconv.Atoi(a.Target)
	if err != nil {
		return err
	}
	for _, e := range a.Effects {
		if e.Before == "" {
			continue
		}
		if e.By == "sched_setaffinity" {
			list, err := events.CPUs(e.Before).Indexes()
			if err != nil {
				return err
			}
			if err := setAffinity(pid, list); err != nil {
				return err
			}
			continue
		}
		var l unix.Rlimit
		if _, err := fmt.Sscanf(e.Before, "%d %d", &l.Cur, &l.Max); err != nil {
			return fmt.Errorf("read what process %d had: %w", pid, err)
		}
		if err := unix.Prlimit(pid, rlimitResources[map[string]string{memory: "as", pids: "nproc"}[e.Resource]], &l, nil); err != nil {
			return permissionError("limits.Revert", err)
		}
	}
	return nil
}
