package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// v2 is cgroup v2 without systemd.
type v2 struct {
	cfg  Config
	base string   // the group under which ours are made
	on   []string // the controllers that groups under base have
}

func newV2(cfg Config) (Backend, error) {
	where, err := places(cfg.Root, "self")
	if err != nil {
		return nil, err
	}
	h, ok := where[""]
	if !ok {
		return nil, errors.New("cgroup v2 is not mounted")
	}
	available := strings.Fields(get(h.own, "cgroup.controllers"))
	if !slices.Contains(available, "memory") || !slices.Contains(available, "pids") {
		return nil, errors.New("it has no controllers for memory and processes here")
	}
	if err := writable(h.own); err != nil {
		return nil, fmt.Errorf("%s is not ours to write", h.own)
	}
	b := &v2{cfg: cfg, base: h.own, on: strings.Fields(get(h.own, "cgroup.subtree_control"))}
	for _, c := range []string{"memory", "pids", "cpu", "cpuset", "io", "dmem"} {
		if slices.Contains(available, c) && !slices.Contains(b.on, c) && set(h.own, "cgroup.subtree_control", "+"+c) == nil {
			b.on = append(b.on, c)
		}
	}
	if !slices.Contains(b.on, "memory") || !slices.Contains(b.on, "pids") {
		return nil, fmt.Errorf("%s holds processes, so that groups in it get no controllers", h.own)
	}
	return b, nil
}

// writable tells whether groups can be made there.
func writable(dir string) error { return unix.Access(dir, unix.W_OK) }

// Name implements [Backend].
func (*v2) Name() string { return CgroupV2 }

func (b *v2) dir(unit string) string { return filepath.Join(b.base, unit) }

// Prepare implements [Backend].
func (b *v2) Prepare(_ context.Context, unit string, l events.Limits) (Entry, []events.LimitEffect, error) {
	e, err := b.make(unit, l)
	if err != nil {
		return Entry{}, nil, err
	}
	if l.OOMScore != 0 {
		e.enforced(oom, strconv.Itoa(l.OOMScore), "oom_score_adj")
	}
	return Entry{Groups: []string{filepath.Join(b.dir(unit), "cgroup.procs")}, OOMScore: l.OOMScore, Env: visible(l.GPUs)}, e, nil
}

func (b *v2) make(unit string, l events.Limits) (effects, error) {
	dir := b.dir(unit)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, noRight("limits.Prepare", err)
	}
	var e effects
	for _, w := range b.writes(l) {
		switch {
		case !slices.Contains(b.on, w.controller):
			e.advisory(w.resource, w.value, "", "there is no controller "+w.controller+" here")
		default:
			if err := set(dir, w.file, w.value); err != nil {
				e.advisory(w.resource, w.value, "", err.Error())
				continue
			}
			e.enforced(w.resource, w.value, w.file)
		}
	}
	if l.MemoryBytes > 0 && has(dir, "memory.swap.max") {
		_ = set(dir, "memory.swap.max", "0") // where swap is not counted memory alone is limited
	}
	b.weight(&e, dir, l)
	e.adviseGPU(l, "cgroup v2 denies device files by a BPF program, which systemd loads and this does not")
	b.dmem(&e, dir, l)
	return e, nil
}

func (*v2) writes(l events.Limits) []write {
	var out []write
	if l.MemoryBytes > 0 {
		out = append(out, write{memory, "memory", "memory.max", strconv.FormatInt(l.MemoryBytes, 10)})
	}
	if l.CPUMillis > 0 {
		out = append(out, write{cpu, "cpu", "cpu.max", fmt.Sprintf("%d %d", l.CPUMillis*periodUs/1000, periodUs)})
	}
	if l.CPUs != "" {
		out = append(out, write{cpus, "cpuset", "cpuset.cpus", string(l.CPUs)})
	}
	if l.Pids > 0 {
		out = append(out, write{pids, "pids", "pids.max", strconv.FormatInt(l.Pids, 10)})
	}
	return out
}

func (b *v2) weight(e *effects, dir string, l events.Limits) {
	if l.IOWeight == 0 {
		return
	}
	value := strconv.FormatInt(l.IOWeight, 10)
	file := "io.weight"
	if !has(dir, file) {
		file = "io.bfq.weight"
		value = strconv.FormatInt(min(l.IOWeight, 1000), 10)
	}
	ok, reason := weighs(b.cfg.Root)
	switch {
	case set(dir, file, value) != nil:
		e.advisory(ioWeight, value, "", "there are no weights for disks here")
	case !ok:
		e.advisory(ioWeight, value, file, reason)
	default:
		e.enforced(ioWeight, value, file)
	}
}

// dmem limits the memory of every device that the kernel counts it for.
func (b *v2) dmem(e *effects, dir string, l events.Limits) {
	if l.GPUMemoryBytes == 0 {
		return
	}
	value := strconv.FormatInt(l.GPUMemoryBytes, 10)
	regions := regionsOf(get(b.base, "dmem.capacity"))
	if !slices.Contains(b.on, "dmem") || len(regions) == 0 {
		e.adviseGPUMemory(l, "the kernel's dmem controller counts no device here")
		return
	}
	for _, r := range regions {
		if err := set(dir, "dmem.max", r+" "+value); err != nil {
			e.adviseGPUMemory(l, err.Error())
			return
		}
	}
	e.enforced(gpuMemory, value, "dmem.max")
}

// regionsOf reads the names of video memory out of dmem.capacity: NAME BYTES.
func regionsOf(capacity string) []string {
	var out []string
	for line := range strings.Lines(capacity) {
		if f := strings.Fields(line); len(f) == 2 && strings.Contains(f[0], "vram") {
			out = append(out, f[0])
		}
	}
	return out
}

// Attach implements [Backend]: the process and those it started are moved.
func (b *v2) Attach(_ context.Context, unit, target string, l events.Limits) (string, []events.LimitEffect, error) {
	if err := process(b.cfg.Root, target); err != nil {
		return "", nil, err
	}
	where, err := places(b.cfg.Root, target)
	if err != nil {
		return "", nil, err
	}
	if where[""].own != b.base {
		return "", nil, &events.Error{Op: "limits.Attach", Kind: events.ErrDenied, Subject: "process " + target, Err: errors.New("it is in a control group of its own, which somebody else manages")}
	}
	e, err := b.make(unit, l)
	if err != nil {
		return "", nil, err
	}
	for _, pid := range tree(b.cfg.Root, target) {
		if err := set(b.dir(unit), "cgroup.procs", pid); err != nil {
			return "", nil, errors.Join(fmt.Errorf("move process %s: %w", pid, err), b.remove(unit))
		}
	}
	notAtStart(&e, l)
	return unit, e, nil
}

// Usage implements [Backend].
func (b *v2) Usage(_ context.Context, a events.LimitsApplied) (events.LimitUsage, error) {
	if !has(b.dir(a.Unit), "cgroup.procs") {
		return events.UnknownUsage, gone(a.Unit)
	}
	return usageV2(b.dir(a.Unit)), nil
}

// usageV2 reads a group of cgroup v2.
func usageV2(dir string) events.LimitUsage {
	return events.LimitUsage{
		MemoryBytes: number(get(dir, "memory.current")), MemoryPeakBytes: number(get(dir, "memory.peak")),
		OOMKills: field(get(dir, "memory.events"), "oom_kill"), CPUUs: field(get(dir, "cpu.stat"), "usage_usec"),
		ThrottledUs: field(get(dir, "cpu.stat"), "throttled_usec"), Pids: number(get(dir, "pids.current")),
		PidsRefused: field(get(dir, "pids.events"), "max"),
	}
}

// Revert implements [Backend].
func (b *v2) Revert(_ context.Context, a events.LimitsApplied) error { return b.remove(a.Unit) }

func (b *v2) remove(unit string) error {
	dir := b.dir(unit)
	if !has(dir, "cgroup.procs") {
		return nil
	}
	if err := move(dir, b.base); err != nil {
		return err
	}
	return remove(dir)
}
