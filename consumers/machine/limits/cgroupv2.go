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

// cgroupV2 is cgroup v2 without systemd.
type cgroupV2 struct {
	cfg         Config
	parentGroup string   // the group under which ours are made
	controllers []string // the controllers that groups under base have
}

func newCgroupV2(cfg Config) (Backend, error) {
	where, err := readHierarchies(cfg.Root, "self")
	if err != nil {
		return nil, err
	}
	h, ok := where[""]
	if !ok {
		return nil, errors.New("cgroup v2 is not mounted")
	}
	available := strings.Fields(readGroupFile(h.ownGroup, "cgroup.controllers"))
	if !slices.Contains(available, "memory") || !slices.Contains(available, "pids") {
		return nil, errors.New("it has no controllers for memory and processes here")
	}
	if err := writable(h.ownGroup); err != nil {
		return nil, fmt.Errorf("%s is not ours to write", h.ownGroup)
	}
	b := &cgroupV2{cfg: cfg, parentGroup: h.ownGroup, controllers: strings.Fields(readGroupFile(h.ownGroup, "cgroup.subtree_control"))}
	for _, c := range []string{"memory", "pids", "cpu", "cpuset", "io", "dmem"} {
		if slices.Contains(available, c) && !slices.Contains(b.controllers, c) && writeGroupFile(h.ownGroup, "cgroup.subtree_control", "+"+c) == nil {
			b.controllers = append(b.controllers, c)
		}
	}
	if !slices.Contains(b.controllers, "memory") || !slices.Contains(b.controllers, "pids") {
		return nil, fmt.Errorf("%s holds processes, so that groups in it get no controllers", h.ownGroup)
	}
	return b, nil
}

// writable tells whether groups can be made there.
func writable(dir string) error { return unix.Access(dir, unix.W_OK) }

// Name implements [Backend].
func (*cgroupV2) Name() string { return CgroupV2 }

func (b *cgroupV2) dir(unit string) string { return filepath.Join(b.parentGroup, unit) }

// Prepare implements [Backend].
func (b *cgroupV2) Prepare(_ context.Context, unit string, l events.Limits) (LaunchSpec, []events.LimitEffect, error) {
	e, err := b.createGroup(unit, l)
	if err != nil {
		return LaunchSpec{}, nil, err
	}
	if l.OOMScore != 0 {
		e.enforced(oom, strconv.Itoa(l.OOMScore), "oom_score_adj")
	}
	return LaunchSpec{Groups: []string{filepath.Join(b.dir(unit), "cgroup.procs")}, OOMScore: l.OOMScore, Env: gpuEnv(l.GPUs)}, e, nil
}

func (b *cgroupV2) createGroup(unit string, l events.Limits) (effects, error) {
	dir := b.dir(unit)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, permissionError("limits.Prepare", err)
	}
	var e effects
	for _, w := range b.groupWrites(l) {
		switch {
		case !slices.Contains(b.controllers, w.controller):
			e.advisory(w.resource, w.value, "", "there is no controller "+w.controller+" here")
		default:
			if err := writeGroupFile(dir, w.file, w.value); err != nil {
				e.advisory(w.resource, w.value, "", err.Error())
				continue
			}
			e.enforced(w.resource, w.value, w.file)
		}
	}
	if l.MemoryBytes > 0 && fileExists(dir, "memory.swap.max") {
		_ = writeGroupFile(dir, "memory.swap.max", "0") // where swap is not counted memory alone is limited
	}
	b.setIOWeight(&e, dir, l)
	e.adviseGPU(l, "cgroup v2 denies device files by a BPF program, which systemd loads and this does not")
	b.limitDeviceMemory(&e, dir, l)
	return e, nil
}

func (*cgroupV2) groupWrites(l events.Limits) []groupWrite {
	var out []groupWrite
	if l.MemoryBytes > 0 {
		out = append(out, groupWrite{memory, "memory", "memory.max", strconv.FormatInt(l.MemoryBytes, 10)})
	}
	if l.CPUMillis > 0 {
		out = append(out, groupWrite{cpu, "cpu", "cpu.max", fmt.Sprintf("%d %d", l.CPUMillis*periodUs/1000, periodUs)})
	}
	if l.CPUs != "" {
		out = append(out, groupWrite{cpus, "cpuset", "cpuset.cpus", string(l.CPUs)})
	}
	if l.Pids > 0 {
		out = append(out, groupWrite{pids, "pids", "pids.max", strconv.FormatInt(l.Pids, 10)})
	}
	return out
}

func (b *cgroupV2) setIOWeight(e *effects, dir string, l events.Limits) {
	if l.IOWeight == 0 {
		return
	}
	value := strconv.FormatInt(l.IOWeight, 10)
	file := "io.weight"
	if !fileExists(dir, file) {
		file = "io.bfq.weight"
		value = strconv.FormatInt(min(l.IOWeight, 1000), 10)
	}
	ok, reason := hasIOWeights(b.cfg.Root)
	switch {
	case writeGroupFile(dir, file, value) != nil:
		e.advisory(ioWeight, value, "", "there are no weights for disks here")
	case !ok:
		e.advisory(ioWeight, value, file, reason)
	default:
		e.enforced(ioWeight, value, file)
	}
}

// limitDeviceMemory limits the memory of every device that the kernel counts it for.
func (b *cgroupV2) limitDeviceMemory(e *effects, dir string, l events.Limits) {
	if l.GPUMemoryBytes == 0 {
		return
	}
	value := strconv.FormatInt(l.GPUMemoryBytes, 10)
	regions := vramRegions(readGroupFile(b.parentGroup, "dmem.capacity"))
	if !slices.Contains(b.controllers, "dmem") || len(regions) == 0 {
		e.adviseGPUMemory(l, "the kernel's dmem controller counts no device here")
		return
	}
	for _, r := range regions {
		if err := writeGroupFile(dir, "dmem.max", r+" "+value); err != nil {
			e.adviseGPUMemory(l, err.Error())
			return
		}
	}
	e.enforced(gpuMemory, value, "dmem.max")
}

// vramRegions reads the names of video memory out of dmem.capacity: NAME BYTES.
func vramRegions(capacity string) []string {
	var out []string
	for line := range strings.Lines(capacity) {
		if f := strings.Fields(line); len(f) == 2 && strings.Contains(f[0], "vram") {
			out = append(out, f[0])
		}
	}
	return out
}

// Attach implements [Backend]: the process and those it started are moved.
func (b *cgroupV2) Attach(_ context.Context, unit, target string, l events.Limits) (string, []events.LimitEffect, error) {
	if err := checkProcess(b.cfg.Root, target); err != nil {
		return "", nil, err
	}
	where, err := readHierarchies(b.cfg.Root, target)
	if err != nil {
		return "", nil, err
	}
	if where[""].ownGroup != b.parentGroup {
		return "", nil, &events.Error{Op: "limits.Attach", Kind: events.ErrDenied, Subject: "process " + target, Err: errors.New("it is in a control group of its own, which somebody else manages")}
	}
	e, err := b.createGroup(unit, l)
	if err != nil {
		return "", nil, err
	}
	for _, pid := range processTree(b.cfg.Root, target) {
		if err := writeGroupFile(b.dir(unit), "cgroup.procs", pid); err != nil {
			return "", nil, errors.Join(fmt.Errorf("move process %s: %w", pid, err), b.removeGroup(unit))
		}
	}
	addStartOnlyEffects(&e, l)
	return unit, e, nil
}

// Usage implements [Backend].
func (b *cgroupV2) Usage(_ context.Context, a events.LimitsApplied) (events.LimitUsage, error) {
	if !fileExists(b.dir(a.Unit), "cgroup.procs") {
		return events.UnknownUsage, groupGoneError(a.Unit)
	}
	return cgroupV2Usage(b.dir(a.Unit)), nil
}

// cgroupV2Usage reads a group of cgroup v2.
func cgroupV2Usage(dir string) events.LimitUsage {
	return events.LimitUsage{
		MemoryBytes: parseNumber(readGroupFile(dir, "memory.current")), MemoryPeakBytes: parseNumber(readGroupFile(dir, "memory.peak")),
		OOMKills: parseField(readGroupFile(dir, "memory.events"), "oom_kill"), CPUUs: parseField(readGroupFile(dir, "cpu.stat"), "usage_usec"),
		ThrottledUs: parseField(readGroupFile(dir, "cpu.stat"), "throttled_usec"), Pids: parseNumber(readGroupFile(dir, "pids.current")),
		ForksRefused: parseField(readGroupFile(dir, "pids.events"), "max"),
	}
}

// Revert implements [Backend].
func (b *cgroupV2) Revert(_ context.Context, a events.LimitsApplied) error {
	return b.removeGroup(a.Unit)
}

func (b *cgroupV2) removeGroup(unit string) error {
	dir := b.dir(unit)
	if !fileExists(dir, "cgroup.procs") {
		return nil
	}
	if err := moveProcesses(dir, b.parentGroup); err != nil {
		return err
	}
	return removeGroup(dir)
}
