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
	"syscall"
	"time"

	"cortex/events"
)

// periodUs is the period of quotas.
const periodUs = 100_000

// cgroupV1 is cgroup v1: one hierarchy for each controller, or for several.
type cgroupV1 struct {
	cfg         Config
	hierarchies map[string]hierarchy
}

// v1Controllers are those that limits need.
var v1Controllers = []string{"memory", "cpu", "cpuacct", "cpuset", "pids", "blkio", "devices"}

func newCgroupV1(cfg Config) (Backend, error) {
	where, err := readHierarchies(cfg.Root, cfg.PID)
	if err != nil {
		return nil, err
	}
	for _, c := range []string{"memory", "cpu", "pids"} {
		h, ok := where[c]
		if !ok {
			return nil, fmt.Errorf("the controller %s is not mounted", c)
		}
		if writable(h.ownGroup) != nil {
			return nil, fmt.Errorf("%s is not writable", h.ownGroup)
		}
	}
	return &cgroupV1{cfg, where}, nil
}

func openCgroupV1(cfg Config) (Backend, error) {
	where, err := readHierarchies(cfg.Root, 0)
	return &cgroupV1{cfg, where}, err
}

// Name implements [Backend].
func (*cgroupV1) Name() string { return CgroupV1 }

// dirs are the directories that a new group has, by controller; some may be the same.
func (b *cgroupV1) dirs(unit string) map[string]string {
	out := map[string]string{}
	for _, c := range v1Controllers {
		if h, ok := b.hierarchies[c]; ok {
			out[c] = filepath.Join(h.ownGroup, unit)
		}
	}
	return out
}

// existing are the directories of a group that exists, by controller, wherever it was made.
func (b *cgroupV1) existing(unit string) map[string]string {
	out := map[string]string{}
	byMount := map[string]string{}
	for _, c := range v1Controllers {
		h, ok := b.hierarchies[c]
		if !ok {
			continue
		}
		dir, searched := byMount[h.mount]
		if !searched {
			dir = filepath.Join(h.ownGroup, unit)
			if !fileExists(dir, "cgroup.procs") {
				dir = findGroup(h.mount, unit, b.cfg.UID)
			}
			byMount[h.mount] = dir
		}
		if dir != "" {
			out[c] = dir
		}
	}
	return out
}

// Try implements [Backend].
func (b *cgroupV1) Try(_ context.Context, unit string, l events.Limits) ([]events.LimitEffect, error) {
	e, err := b.createGroups(unit, l)
	if l.OOMScore != 0 {
		e.enforced(oom, strconv.Itoa(l.OOMScore), "oom_score_adj")
	}
	return e, errors.Join(err, b.removeGroups(unit))
}

// Start implements [Backend].
func (b *cgroupV1) Start(_ context.Context, p Placement, note NoteFunc) ([]events.LimitEffect, error) {
	if err := note(p.Unit, nil); err != nil {
		return nil, err
	}
	e, err := b.createGroups(p.Unit, p.Limits)
	if err == nil {
		err = startIn(uniqueDirs(b.dirs(p.Unit)), b.cfg.Root, p, &e)
	}
	if err != nil {
		return nil, errors.Join(err, b.removeGroups(p.Unit))
	}
	return e, nil
}

func (b *cgroupV1) createGroups(unit string, l events.Limits) (effects, error) {
	dirs := b.dirs(unit)
	for _, dir := range uniqueDirs(dirs) {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, permissionError("limits.createGroups", err)
		}
	}
	// A group without processors and memory nodes takes no process.
	if dir := dirs["cpuset"]; dir != "" {
		for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
			if err := writeGroupFile(dir, f, readGroupFile(filepath.Dir(dir), f)); err != nil {
				return nil, fmt.Errorf("inherit %s: %w", f, err)
			}
		}
	}
	var e effects
	writes := b.groupWrites(l)
	for _, w := range writes {
		dir := dirs[w.controller]
		if dir == "" {
			e.advisory(w.resource, w.value, "", "the controller "+w.controller+" is not mounted")
			continue
		}
		if err := writeGroupFile(dir, w.file, w.value); err != nil {
			e.advisory(w.resource, w.value, "", err.Error())
			continue
		}
		e.enforced(w.resource, w.value, w.file)
	}
	b.limitSwap(dirs["memory"], l)
	b.setIOWeight(&e, dirs["blkio"], l)
	b.denyDevices(&e, dirs["devices"], l)
	e.adviseGPUMemory(l, "it needs the kernel's dmem controller, which cgroup v1 does not have")
	return e, nil
}

type groupWrite struct{ resource, controller, file, value string }

func (*cgroupV1) groupWrites(l events.Limits) []groupWrite {
	var out []groupWrite
	if l.MemoryBytes > 0 {
		out = append(out, groupWrite{memory, "memory", "memory.limit_in_bytes", strconv.FormatInt(l.MemoryBytes, 10)})
	}
	if l.CPUMillis > 0 {
		out = append(out, groupWrite{cpu, "cpu", "cpu.cfs_quota_us", strconv.FormatInt(l.CPUMillis*periodUs/1000, 10)})
	}
	if l.CPUs != "" {
		out = append(out, groupWrite{cpus, "cpuset", "cpuset.cpus", string(l.CPUs)})
	}
	if l.Pids > 0 {
		out = append(out, groupWrite{pids, "pids", "pids.max", strconv.FormatInt(l.Pids, 10)})
	}
	return out
}

// limitSwap limits memory and swap together to the limit of memory. Where the kernel does
// not count swap there is no file to write.
func (*cgroupV1) limitSwap(dir string, l events.Limits) {
	if dir != "" && l.MemoryBytes > 0 && fileExists(dir, "memory.memsw.limit_in_bytes") {
		_ = writeGroupFile(dir, "memory.memsw.limit_in_bytes", strconv.FormatInt(l.MemoryBytes, 10)) // memory alone is limited then
	}
}

// setIOWeight sets bfq's weight, whose scale ends at 1000.
func (b *cgroupV1) setIOWeight(e *effects, dir string, l events.Limits) {
	if l.IOWeight == 0 {
		return
	}
	value := strconv.FormatInt(min(l.IOWeight, 1000), 10)
	ok, reason := hasIOWeights(b.cfg.Root)
	if dir == "" || writeGroupFile(dir, "blkio.bfq.weight", value) != nil {
		e.advisory(ioWeight, value, "", "the kernel has no disk weights here")
		return
	}
	if !ok {
		e.advisory(ioWeight, value, "blkio.bfq.weight", reason)
		return
	}
	e.enforced(ioWeight, value, "blkio.bfq.weight")
}

func (b *cgroupV1) denyDevices(e *effects, dir string, l events.Limits) {
	if l.GPUs == "" {
		return
	}
	if dir == "" {
		e.adviseGPU(l, "the controller devices is not mounted")
		return
	}
	_, denied := splitDevices(gpuNodes(filepath.Join(b.cfg.Root, "dev")), l.GPUs)
	for _, n := range denied {
		if err := writeGroupFile(dir, "devices.deny", n.String()+" rwm"); err != nil {
			e.adviseGPU(l, err.Error())
			return
		}
	}
	if len(denied) == 0 {
		e.adviseGPU(l, "this machine has no device file of a gpu to deny")
		return
	}
	e.enforced(gpu, string(l.GPUs), "devices.deny")
}

// Attach implements [Backend]: it moves the process and its descendants.
func (b *cgroupV1) Attach(_ context.Context, p Placement, note NoteFunc) (string, []events.LimitEffect, error) {
	if err := checkNumber(p); err != nil {
		return "", nil, err
	}
	before, err := readHierarchies(b.cfg.Root, p.PID)
	if err != nil {
		return "", nil, err
	}
	if before["memory"] != b.hierarchies["memory"] || before["cpu"] != b.hierarchies["cpu"] {
		return "", nil, foreignGroupError(p)
	}
	if err := note(p.Unit, nil); err != nil {
		return "", nil, err
	}
	e, err := b.createGroups(p.Unit, p.Limits)
	if err != nil {
		return "", nil, errors.Join(err, b.removeGroups(p.Unit))
	}
	for _, dir := range uniqueDirs(b.dirs(p.Unit)) {
		if err := moveTree(dir, b.cfg.Root, p.Target); err != nil {
			return "", nil, errors.Join(err, b.removeGroups(p.Unit))
		}
	}
	addStartOnlyEffects(&e, p.Limits)
	return p.Unit, e, nil
}

// moveTree moves a process and its descendants into a group.
func moveTree(dir, root, target string) error {
	for _, pid := range processTree(root, target) {
		if err := writeGroupFile(dir, "cgroup.procs", pid); err != nil && (pid == target || !errors.Is(err, syscall.ESRCH)) {
			return fmt.Errorf("move process %s into its group: %w", pid, err)
		}
	}
	return nil
}

func foreignGroupError(p Placement) error {
	return &events.Error{Op: "limits.Attach", Kind: events.ErrDenied, Subject: "process " + p.Target, Err: errors.New("the process is in another control group than the command, which another program manages")}
}

// addStartOnlyEffects notes which limits a running program cannot get, and that memory which
// it has already counts elsewhere.
func addStartOnlyEffects(e *effects, l events.Limits) {
	for i := range *e {
		if (*e)[i].Resource == memory && (*e)[i].Enforced {
			(*e)[i].Reason = "memory from before the attach is counted in the earlier group"
		}
	}
	if l.OOMScore != 0 {
		e.advisory(oom, strconv.Itoa(l.OOMScore), "", "it is set only when a program starts")
	}
}

// Usage implements [Backend].
func (b *cgroupV1) Usage(_ context.Context, a events.LimitsApplied) (events.LimitUsage, error) {
	d := b.existing(a.Unit)
	if !fileExists(d["memory"], "cgroup.procs") {
		return events.UnknownUsage, groupGoneError(a.Unit)
	}
	u := events.UnknownUsage
	u.MemoryBytes = parseNumber(readGroupFile(d["memory"], "memory.usage_in_bytes"))
	u.MemoryPeakBytes = parseNumber(readGroupFile(d["memory"], "memory.max_usage_in_bytes"))
	u.OOMKills = parseField(readGroupFile(d["memory"], "memory.oom_control"), "oom_kill")
	if ns := parseNumber(readGroupFile(d["cpuacct"], "cpuacct.usage")); ns >= 0 {
		u.CPUUs = ns / int64(time.Microsecond)
	}
	u.Pids = parseNumber(readGroupFile(d["pids"], "pids.current"))
	u.ForksRefused = parseField(readGroupFile(d["pids"], "pids.events"), "max")
	if ns := parseField(readGroupFile(d["cpu"], "cpu.stat"), "throttled_time"); ns >= 0 {
		u.ThrottledUs = ns / int64(time.Microsecond)
	}
	return u, nil
}

// Revert implements [Backend].
func (b *cgroupV1) Revert(_ context.Context, a events.LimitsApplied) error {
	return b.removeGroups(a.Unit)
}

// removeGroups empties and removes a group's directories.
func (b *cgroupV1) removeGroups(unit string) error {
	var errs []error
	for _, dir := range uniqueDirs(b.existing(unit)) {
		if err := moveProcesses(dir, filepath.Dir(dir)); err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, removeGroup(dir))
	}
	return errors.Join(errs...)
}

func uniqueDirs(m map[string]string) []string {
	var out []string
	for _, v := range m {
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// parseNumber reads the only number of a file; -1 when there is none.
func parseNumber(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// parseField reads "NAME NUMBER" from lines; -1 when there is none.
func parseField(lines, name string) int64 {
	for line := range strings.Lines(lines) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return parseNumber(strings.TrimSpace(v))
		}
	}
	return -1
}
