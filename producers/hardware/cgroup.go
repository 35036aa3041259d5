package hardware

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"cortex/events"
)

// unlimited is a lower bound of the value by which version 1 means that memory has no limit.
// That value is the largest number of whole pages in bytes.
const unlimited = 1 << 62

// cgroupEntry is one line of /proc/self/cgroup.
type cgroupEntry struct {
	controllers []string // empty in version 2
	path        string
}

// parseCgroups parses /proc/PID/cgroup. It skips malformed lines.
func parseCgroups(text string) []cgroupEntry {
	var out []cgroupEntry
	for line := range strings.Lines(text) {
		_, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
		names, at, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 || !strings.HasPrefix(at, "/") || strings.Contains(at, "..") {
			continue
		}
		g := cgroupEntry{path: path.Clean(at)}
		if names != "" {
			g.controllers = strings.Split(names, ",")
		}
		out = append(out, g)
	}
	return out
}

// cgroupLimits are the limits of this process; -1 means that there is no limit.
type cgroupLimits struct {
	memory, pids int64
	cpuMilli     int64 // thousandths of a processor
	cpus         []int // nil: all
	cpusText     string
}

// cgroups adds the limits of the control groups of this process and of all groups above
// them, and the resources that this process can use. The facts are volatile.
func (r *factBuilder) cgroups() {
	const source = "/proc/self/cgroup"
	text, err := r.read("proc/self/cgroup")
	mounts, err2 := r.read("proc/self/mountinfo")
	if err := errors.Join(err, err2); err != nil {
		r.addUnknown("cgroup.version", source, err)
		return
	}
	b := cgroupLimits{memory: -1, pids: -1, cpuMilli: -1}
	has1, has2 := false, false
	table := parseMounts(mounts)
	for _, g := range parseCgroups(text) {
		if len(g.controllers) > 0 && strings.HasPrefix(g.controllers[0], "name=") {
			continue
		}
		m, ok := groupMount(table, g)
		if !ok {
			continue
		}
		if len(g.controllers) == 0 {
			has2 = true
		} else {
			has1 = true
		}
		for at := g.path; ; at = path.Dir(at) {
			if dir, ok := m.groupDir(at); ok {
				r.applyGroupLimits(&b, dir)
			}
			if at == "/" {
				break
			}
		}
	}
	version := map[[2]bool]string{{true, true}: "hybrid", {true, false}: "v1", {false, true}: "v2", {false, false}: "none"}[[2]bool{has1, has2}]
	r.addCertain("cgroup.version", events.TextValue(version), source)
	r.addCgroupLimits(b)
	r.usable(b)
}

// groupMount returns the mount of the hierarchy that a group is in.
func groupMount(mounts []mount, g cgroupEntry) (mount, bool) {
	for _, m := range mounts {
		switch {
		case len(g.controllers) == 0 && m.fsType == "cgroup2":
			return m, true
		case len(g.controllers) > 0 && m.fsType == "cgroup" && slices.Contains(strings.Split(m.superOptions, ","), g.controllers[0]):
			return m, true
		}
	}
	return mount{}, false
}

// groupDir returns the directory of a group, without a leading slash. ok is false for groups
// above the mounted one, which a container cannot see.
func (m mount) groupDir(at string) (dir string, ok bool) {
	rest := at
	if m.root != "/" {
		if rest, ok = strings.CutPrefix(at, m.root); !ok || rest != "" && rest[0] != '/' {
			return "", false
		}
	}
	return strings.TrimPrefix(path.Join(m.point, rest), "/"), true
}

// applyGroupLimits lowers the limits to those of one group.
func (r *factBuilder) applyGroupLimits(b *cgroupLimits, dir string) {
	lower := func(old *int64, n int64) {
		if n >= 0 && (*old < 0 || n < *old) {
			*old = n
		}
	}
	read := func(name string) int64 {
		n, err := r.number(dir + "/" + name) // "max" is not a number and means no limit
		if err != nil || n < 0 || n >= unlimited {
			return -1
		}
		return n
	}
	for _, name := range []string{"memory.max", "memory.high", "memory.limit_in_bytes"} {
		lower(&b.memory, read(name))
	}
	lower(&b.pids, read("pids.max"))
	if s, err := r.text(dir + "/cpu.max"); err == nil {
		quota, period, _ := strings.Cut(s, " ")
		lower(&b.cpuMilli, cpuMillis(quota, period))
	}
	if quota, err := r.text(dir + "/cpu.cfs_quota_us"); err == nil {
		period, _ := r.text(dir + "/cpu.cfs_period_us")
		lower(&b.cpuMilli, cpuMillis(quota, period))
	}
	for _, name := range []string{"cpuset.cpus.effective", "cpuset.effective_cpus"} {
		s, err := r.text(dir + "/" + name)
		if list, ok := cpuList(s); err == nil && ok && len(list) > 0 && (b.cpus == nil || len(list) < len(b.cpus)) {
			b.cpus, b.cpusText = list, s
		}
	}
}

// cpuMillis returns a quota in thousandths of a processor, or -1 when there is none.
func cpuMillis(quota, period string) int64 {
	q, err := strconv.ParseInt(quota, 10, 64)
	p, err2 := strconv.ParseInt(period, 10, 64)
	if errors.Join(err, err2) != nil || q <= 0 || p <= 0 || q > 1<<40 {
		return -1
	}
	return q * 1000 / p
}

func (r *factBuilder) addCgroupLimits(b cgroupLimits) {
	const source = "control groups of this process and above"
	addLimit := func(key string, n int64) {
		v := events.TextValue("max")
		if n >= 0 {
			v = events.NumberValue(n)
		}
		r.addVolatile(key, v, source)
	}
	addLimit("cgroup.memory_max_b", b.memory)
	addLimit("cgroup.pids_max", b.pids)
	addLimit("cgroup.cpu_millis", b.cpuMilli)
	if b.cpus != nil {
		r.addVolatile("cgroup.cpus", events.TextValue(b.cpusText), source)
	}
}

// usable adds the processors and the memory that this process and its children can use.
func (r *factBuilder) usable(b cgroupLimits) {
	addUsable := func(key string, v int64, source string) {
		r.add(events.HardwareFact{Key: key, Value: events.NumberValue(v), Source: source, Confidence: events.ConfidenceDerived, Volatile: true})
	}
	if n, ok := r.value("cpu.threads").Int(); ok {
		if b.cpus != nil {
			n = min(n, int64(len(b.cpus)))
		}
		if b.cpuMilli > 0 {
			n = min(n, max(1, (b.cpuMilli+999)/1000))
		}
		addUsable("usable.threads", n, "cpu.threads, cgroup.cpus and cgroup.cpu_millis")
	}
	if n, ok := r.value("memory.available_b").Int(); ok {
		if b.memory >= 0 {
			n = min(n, b.memory)
		}
		addUsable("usable.memory_b", n, "memory.available_b and cgroup.memory_max_b")
	}
}
