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
	mount       string
	parentGroup string   // new groups are made in it
	controllers []string // the controllers that groups in it have
}

func openCgroupV2(cfg Config) (Backend, error) {
	where, err := readHierarchies(cfg.Root, 0)
	h, ok := where[""]
	if err == nil && !ok {
		err = errors.New("cgroup v2 is not mounted")
	}
	return &cgroupV2{cfg: cfg, mount: h.mount, parentGroup: h.ownGroup}, err
}

func newCgroupV2(cfg Config) (Backend, error) {
	where, err := readHierarchies(cfg.Root, cfg.PID)
	if err != nil {
		return nil, err
	}
	h, ok := where[""]
	if !ok {
		return nil, errors.New("cgroup v2 is not mounted")
	}
	available := strings.Fields(readGroupFile(h.ownGroup, "cgroup.controllers"))
	if !slices.Contains(available, "memory") || !slices.Contains(available, "pids") {
		return nil, errors.New("the controllers for memory and processes are missing here")
	}
	if err := writable(h.ownGroup); err != nil {
		return nil, fmt.Errorf("%s is not writable", h.ownGroup)
	}
	b := &cgroupV2{cfg: cfg, mount: h.mount, parentGroup: h.ownGroup, controllers: strings.Fields(readGroupFile(h.ownGroup, "cgroup.subtree_control"))}
	for _, c := range []string{"memory", "pids", "cpu", "cpuset", "io", "dmem"} {
		if slices.Contains(available, c) && !slices.Contains(b.controllers, c) && writeGroupFile(h.ownGroup, "cgroup.subtree_control", "+"+c) == nil {
			b.controllers = append(b.controllers, c)
		}
	}
	if !slices.Contains(b.controllers, "memory") || !slices.Contains(b.controllers, "pids") {
		return nil, fmt.Errorf("%s holds processes, so groups in it get no controllers", h.ownGroup)
	}
	return b, nil
}

// writable fails unless groups can be made in a directory.
func writable(dir string) error { return unix.Access(dir, unix.W_OK) }

// Name implements [Backend].
func (*cgroupV2) Name() string { return CgroupV2 }

func (b *cgroupV2) dir(unit string) string { return filepath.Join(b.parentGroup, unit) }

// existing is the directory of a group that exists, wherever it was made; "" when it is gone.
func (b *cgroupV2) existing(unit string) string {
	if dir := b.dir(unit); fileExists(dir, "cgroup.procs") {
		return dir
	}
	return findGroup(b.mount, unit, b.cfg.UID)
}

// Try implements [Backend].
func (b *cgroupV2) Try(_ context.Context, unit string, l events.Limits) ([]events.LimitEffect, error) {
	e, err := b.createGroup(unit, l)
	if l.OOMScore != 0 {
		e.enforced(oom, strconv.Itoa(l.OOMScore), "oom_score_adj")
	}
	return e, errors.Join(err, b.removeGroup(unit))
}

// Start implements [Backend].
func (b *cgroupV2) Start(_ context.Context, p Placement, note NoteFunc) ([]events.LimitEffect, error) {
	if err := note(p.Unit, nil); err != nil {
		return nil, err
	}
	e, err := b.createGroup(p.Unit, p.Limits)
	if err == nil {
		err = startIn([]string{b.dir(p.Unit)}, b.cfg.Root, p, &e)
	}
	if err != nil {
		return nil, errors.Join(err, b.removeGroup(p.Unit))
	}
	return e, nil
}

func (b *cgroupV2) createGroup(unit string, l events.Limits) (effects, error) {
	dir := b.dir(unit)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, permissionError("limits.createGroup", err)
	}
	var e effects
	for _, w := range b.groupWrites(l) {
		switch {
		case !slices.Contains(b.controllers, w.controller):
			e.advisory(w.resource, w.value, "", "the controller "+w.controller+" is missing here")
		default:
			if err := writeGroupFile(dir, w.file, w.value); err != nil {
				e.advisory(w.resource, w.value, "", err.Error())
				continue
			}
			e.enforced(w.resource, w.value, w.file)
		}
	}
	if l.MemoryBytes > 0 && fileExists(dir, "memory.swap.max") {
		_ = writeGroupFile(dir, "memory.swap.max", "0") // only memory is limited where the kernel does not count swap
	}
	b.setIOWeight(&e, dir, l)
	e.adviseGPU(l, "cgroup v2 denies device files with a BPF program, which this back end does not load")
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
		e.advisory(ioWeight, value, "", "the kernel has no disk weights here")
	case !ok:
		e.advisory(ioWeight, value, file, reason)
	default:
		e.enforced(ioWeight, value, file)
	}
}

// limitDeviceMemory limits the memory of every device whose memory the kernel counts.
func (b *cgroupV2) limitDeviceMemory(e *effects, dir string, l events.Limits) {
	if l.GPUMemoryBytes == 0 {
		return
	}
	value := strconv.FormatInt(l.GPUMemoryBytes, 10)
	regions := vramRegions(readGroupFile(b.parentGroup, "dmem.capacity"))
	if !slices.Contains(b.controllers, "dmem") || len(regions) == 0 {
		e.adviseGPUMemory(l, "the kernel's dmem controller counts no device of this machine")
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

// vramRegions reads the names of video memory from dmem.capacity, whose lines are NAME BYTES.
func vramRegions(capacity string) []string {
	var out []string
	for line := range strings.Lines(capacity) {
		if f := strings.Fields(line); len(f) == 2 && strings.Contains(f[0], "vram") {
			out = append(out, f[0])
		}
	}
	return out
}

// Attach implements [Backend]: it moves the process and its descendants.
func (b *cgroupV2) Attach(_ context.Context, p Placement, note NoteFunc) (string, []events.LimitEffect, error) {
	if err := checkNumber(p); err != nil {
		return "", nil, err
	}
	where, err := readHierarchies(b.cfg.Root, p.PID)
	if err != nil {
		return "", nil, err
	}
	if where[""].ownGroup != b.parentGroup {
		return "", nil, foreignGroupError(p)
	}
	if err := note(p.Unit, nil); err != nil {
		return "", nil, err
	}
	e, err := b.createGroup(p.Unit, p.Limits)
	if err == nil {
		err = moveTree(b.dir(p.Unit), b.cfg.Root, p.Target)
	}
	if err != nil {
		return "", nil, errors.Join(err, b.removeGroup(p.Unit))
	}
	addStartOnlyEffects(&e, p.Limits)
	return p.Unit, e, nil
}

// Usage implements [Backend].
func (b *cgroupV2) Usage(_ context.Context, a events.LimitsApplied) (events.LimitUsage, error) {
	dir := b.existing(a.Unit)
	if dir == "" {
		return events.UnknownUsage, groupGoneError(a.Unit)
	}
	return cgroupV2Usage(dir), nil
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
	dir := b.existing(unit)
	if dir == "" {
		return nil
	}
	if err := moveProcesses(dir, filepath.Dir(dir)); err != nil {
		return err
	}
	return removeGroup(dir)
}
