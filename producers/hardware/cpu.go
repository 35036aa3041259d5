package hardware

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cortex/events"
)

const (
	cpuInfoPath = "/proc/cpuinfo"
	cpuDir      = "sys/devices/system/cpu"
)

// cpuInfo is the content of /proc/cpuinfo.
type cpuInfo struct {
	arch       string            // as in uname -m: x86_64, aarch64, s390x, …; "" if unknown
	first      map[string]string // the fields of the first processor, and the common fields
	processors int
	flags      []string // sorted
}

func (c cpuInfo) has(flag string) bool {
	_, ok := slices.BinarySearch(c.flags, flag)
	return ok
}

// parseCPUInfo reads /proc/cpuinfo of any architecture.
func parseCPUInfo(text string) cpuInfo {
	c := cpuInfo{first: parseFields(text, ":")}
	for line := range strings.Lines(text) {
		k, _, _ := strings.Cut(line, ":")
		if k = strings.TrimSpace(k); k == "processor" || strings.HasPrefix(k, "processor ") {
			c.processors++ // s390x numbers them in the key
		}
	}
	if n, err := strconv.Atoi(c.first["# processors"]); err == nil && n > 0 && n < maxCPUs {
		c.processors = n
	}
	for _, key := range []string{"flags", "Features", "features", "isa"} {
		if v := c.first[key]; v != "" {
			c.flags = strings.Fields(v)
			break
		}
	}
	slices.Sort(c.flags)
	c.flags = slices.Compact(c.flags)
	switch {
	case c.has("lm"):
		c.arch = "x86_64"
	case c.first["vendor_id"] == "IBM/S390":
		c.arch = "s390x"
	case c.first["CPU architecture"] == "8" || c.first["CPU architecture"] == "AArch64":
		c.arch = "aarch64"
	case c.first["CPU implementer"] != "":
		c.arch = "armv" + strings.TrimRight(c.first["CPU architecture"], "TEJ") + "l"
	case c.first["flags"] != "":
		c.arch = "i686"
	case strings.HasPrefix(c.first["isa"], "rv64"):
		c.arch = "riscv64"
	}
	return c
}

// x86Levels lists the levels 2 to 4 of the x86-64 psABI: the flags, in the names of Linux,
// that each level adds to the one before.
var x86Levels = [][]string{
	{"cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"},
	{"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"},
	{"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}

// x86Level returns the highest level of the x86-64 psABI whose flags are all present.
func (c cpuInfo) x86Level() int64 {
	level := int64(1)
	for _, need := range x86Levels {
		for _, f := range need {
			if !c.has(f) {
				return level
			}
		}
		level++
	}
	return level
}

// model returns the name of the processor and the confidence in it.
func (c cpuInfo) model() (string, events.Confidence) {
	for _, key := range []string{"model name", "cpu model", "uarch", "cpu"} {
		if v := c.first[key]; v != "" {
			return strings.Join(strings.Fields(sanitize(v)), " "), events.ConfidenceCertain
		}
	}
	if name := armModel(c.first["CPU implementer"], c.first["CPU part"]); name != "" {
		return name, events.ConfidenceDerived
	}
	if c.arch == "s390x" {
		if _, machine, ok := strings.Cut(c.first["processor 0"], "machine = "); ok {
			return "IBM machine " + sanitize(machine), events.ConfidenceDerived
		}
	}
	return "", events.ConfidenceUnknown
}

func (r *factBuilder) cpu() cpuInfo {
	text, err := r.read("proc/cpuinfo")
	c := parseCPUInfo(text)
	if err != nil || len(c.first) == 0 {
		for _, key := range []string{"cpu.model", "cpu.threads", "cpu.flags", "cpu.arch"} {
			r.addUnknown(key, cpuInfoPath, err)
		}
	}
	if name, confidence := c.model(); name != "" {
		r.add(events.HardwareFact{Key: "cpu.model", Value: events.TextValue(name), Source: cpuInfoPath, Confidence: confidence})
	} else {
		r.addUnknown("cpu.model", cpuInfoPath, errors.New("the kernel reports neither a name nor a known part number"))
	}
	if v := cmp.Or(c.first["vendor_id"], armVendor(c.first["CPU implementer"])); v != "" {
		r.addCertain("cpu.vendor", events.TextValue(sanitize(v)), cpuInfoPath)
	}
	if v := c.first["microcode"]; v != "" {
		r.addCertain("cpu.microcode", events.TextValue(sanitize(v)), cpuInfoPath)
	}
	if arch, err := r.text("proc/sys/kernel/arch"); err == nil {
		c.arch = arch
		r.addCertain("cpu.arch", events.TextValue(arch), "/proc/sys/kernel/arch")
	} else if c.arch != "" {
		r.addDerived("cpu.arch", events.TextValue(c.arch), cpuInfoPath)
	}
	if c.flags != nil {
		r.addCertain("cpu.flags", events.ListValue(c.flags), cpuInfoPath)
	}
	if c.arch == "x86_64" {
		r.addDerived("cpu.x86_64_level", events.NumberValue(c.x86Level()), cpuInfoPath)
	}
	online := r.threads(c)
	r.topology(c, online)
	r.caches(online)
	r.numa()
	return c
}

// threads adds the number of online processors and those that are offline. It returns the
// online ones.
func (r *factBuilder) threads(c cpuInfo) []int {
	const source = "/sys/devices/system/cpu/online"
	text, err := r.text(cpuDir + "/online")
	online, ok := cpuList(text)
	if err != nil || !ok || len(online) == 0 {
		online = nil
		for _, name := range r.list(cpuDir) {
			if n, err := strconv.Atoi(strings.TrimPrefix(name, "cpu")); err == nil && strings.HasPrefix(name, "cpu") && r.exists(cpuDir+"/"+name+"/topology") {
				online = append(online, n)
			}
		}
		slices.Sort(online)
		if c.processors > 0 {
			r.addDerived("cpu.threads", events.NumberValue(int64(c.processors)), cpuInfoPath)
		}
		return online
	}
	r.addCertain("cpu.threads", events.NumberValue(int64(len(online))), source)
	r.addCertain("cpu.online", events.TextValue(text), source)
	if off, err := r.text(cpuDir + "/offline"); err == nil {
		if list, ok := cpuList(off); ok && len(list) > 0 {
			r.addCertain("cpu.offline", events.TextValue(off), "/sys/devices/system/cpu/offline")
			r.addDerived("cpu.threads_offline", events.NumberValue(int64(len(list))), "/sys/devices/system/cpu/offline")
		}
	}
	return online
}

// topology counts sockets and cores among the online processors.
func (r *factBuilder) topology(c cpuInfo, online []int) {
	sockets, cores := map[int64]bool{}, map[string]bool{}
	for _, n := range online {
		dir := fmt.Sprintf("%s/cpu%d/topology/", cpuDir, n)
		if id, err := r.number(dir + "physical_package_id"); err == nil {
			sockets[max(id, 0)] = true // -1: the firmware does not number them
		}
		for _, name := range []string{"core_cpus_list", "thread_siblings_list"} {
			if s, err := r.text(dir + name); err == nil && s != "" {
				cores[s] = true
				break
			}
		}
	}
	const source = "/sys/devices/system/cpu/cpu*/topology"
	count := func(key string, n int, field string) {
		if n > 0 {
			r.addCertain(key, events.NumberValue(int64(n)), source)
		} else if v, err := strconv.Atoi(c.first[field]); err == nil && v > 0 && v < maxCPUs {
			r.add(events.HardwareFact{Key: key, Value: events.NumberValue(int64(v)), Source: cpuInfoPath, Confidence: events.ConfidenceGuess})
		} else {
			r.addUnknown(key, source, errors.New("the kernel does not report it"))
		}
	}
	count("cpu.sockets", len(sockets), "")
	count("cpu.cores", len(cores), "cpu cores")
}

// caches adds the total size and the number of caches of each level and type. It counts a
// cache once, also when several processors share it.
func (r *factBuilder) caches(online []int) {
	type total struct {
		bytes int64
		count int64
	}
	totals, seen := map[string]*total{}, map[string]bool{}
	for _, n := range online {
		for index := range 8 {
			dir := fmt.Sprintf("%s/cpu%d/cache/index%d/", cpuDir, n, index)
			at := strconv.Itoa(index) + "/" + strconv.Itoa(n)
			if seen[at] {
				continue
			}
			level, err := r.number(dir + "level")
			if err != nil {
				break
			}
			kind, _ := r.text(dir + "type")
			size, err := r.text(dir + "size")
			bytes, ok := cacheSize(size)
			if err != nil || !ok {
				continue
			}
			shared, err := r.text(dir + "shared_cpu_list")
			if list, ok := cpuList(shared); err == nil && ok {
				for _, s := range list {
					seen[strconv.Itoa(index)+"/"+strconv.Itoa(s)] = true
				}
			}
			name := fmt.Sprintf("l%d%s", level, map[string]string{"Data": "d", "Instruction": "i"}[kind])
			if totals[name] == nil {
				totals[name] = &total{}
			}
			totals[name].bytes += bytes
			totals[name].count++
		}
	}
	const source = "/sys/devices/system/cpu/cpu*/cache"
	for name, t := range totals {
		r.addCertain("cpu.cache."+name+"_b", events.NumberValue(t.bytes), source)
		r.addCertain("cpu.cache."+name+"_instances", events.NumberValue(t.count), source)
	}
}

// cacheSize parses a size such as "1024K" or "32M" into bytes.
func cacheSize(s string) (int64, bool) {
	unit := int64(1)
	switch {
	case strings.HasSuffix(s, "K"):
		unit = 1 << 10
	case strings.HasSuffix(s, "M"):
		unit = 1 << 20
	}
	n, err := strconv.ParseInt(strings.TrimRight(s, "KM"), 10, 32)
	return n * unit, err == nil && n > 0
}

// numa adds the NUMA nodes, without the memory of each: while the kernel initialises memory
// in the background, that number is too low.
func (r *factBuilder) numa() {
	const dir, source = "sys/devices/system/node", "/sys/devices/system/node"
	nodes := int64(0)
	for _, name := range r.list(dir) {
		id, err := strconv.Atoi(strings.TrimPrefix(name, "node"))
		if err != nil || !strings.HasPrefix(name, "node") {
			continue
		}
		nodes++
		key, at := fmt.Sprintf("numa.node%d.", id), dir+"/"+name+"/"
		if s, err := r.text(at + "cpulist"); err == nil {
			r.addCertain(key+"cpus", events.TextValue(s), source+"/"+name+"/cpulist")
		}
		if s, err := r.text(at + "distance"); err == nil {
			r.addCertain(key+"distances", events.ListValue(strings.Fields(s)), source+"/"+name+"/distance")
		}
	}
	if nodes == 0 {
		r.addUnknown("numa.nodes", source, errors.New("the kernel lists no nodes"))
		return
	}
	r.addCertain("numa.nodes", events.NumberValue(nodes), source)
}
