package hardware

import (
	"errors"
	"strconv"
	"strings"

	"cortex/events"
)

// parseMemInfo parses /proc/meminfo. Sizes are in bytes; values without a unit are numbers.
func parseMemInfo(text string) map[string]int64 {
	out := map[string]int64{}
	for k, v := range parseFields(text, ":") {
		v, isKB := strings.CutSuffix(v, " kB")
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		if err != nil || n < 0 || n > 1<<50 {
			continue
		}
		if isKB {
			n <<= 10
		}
		out[k] = n
	}
	return out
}

func (r *factBuilder) memory() {
	const source = "/proc/meminfo"
	text, err := r.read("proc/meminfo")
	m := parseMemInfo(text)
	for _, f := range []struct {
		key, field string
		volatile   bool
	}{
		{"memory.total_b", "MemTotal", false},
		{"memory.available_b", "MemAvailable", true},
		{"memory.free_b", "MemFree", true},
		{"memory.swap_total_b", "SwapTotal", true},
		{"memory.swap_free_b", "SwapFree", true},
		{"memory.hugepages", "HugePages_Total", true},
		{"memory.hugepages_free", "HugePages_Free", true},
		{"memory.hugepage_size_b", "Hugepagesize", false},
	} {
		n, ok := m[f.field]
		switch {
		case err != nil:
			r.addUnknown(f.key, source, err)
		case !ok:
			r.addUnknown(f.key, source, errors.New("the file has no field "+f.field))
		case f.volatile:
			r.addVolatile(f.key, events.NumberValue(n), source)
		default:
			r.addCertain(f.key, events.NumberValue(n), source)
		}
	}
	r.physicalMemory()
	r.zram()
	r.pressure()
}

// physicalMemory sums the memory blocks that are online. This is the installed memory;
// the kernel reserves a part of it, so memory.total_b is smaller.
func (r *factBuilder) physicalMemory() {
	const dir, source = "sys/devices/system/memory", "/sys/devices/system/memory"
	size, err := r.text(dir + "/block_size_bytes")
	block, parseErr := strconv.ParseInt(size, 16, 64)
	if err != nil || parseErr != nil || block <= 0 || block > 1<<40 {
		return // not every kernel has memory blocks; memory.total_b covers the common need
	}
	blocks := int64(0)
	for _, name := range r.list(dir) {
		if rest, ok := strings.CutPrefix(name, "memory"); ok && strings.Trim(rest, "0123456789") == "" {
			if s, err := r.text(dir + "/" + name + "/state"); err == nil && s == "online" || isNotExist(err) && r.onlineFlag(dir+"/"+name) {
				blocks++
			}
		}
	}
	if blocks > 0 {
		r.addDerived("memory.physical_b", events.NumberValue(blocks*block), source)
	}
}

func (r *factBuilder) onlineFlag(dir string) bool {
	n, err := r.number(dir + "/online")
	return err == nil && n == 1
}

func (r *factBuilder) zram() {
	sum, found := int64(0), false
	for _, name := range r.list("sys/block") {
		if !strings.HasPrefix(name, "zram") {
			continue
		}
		if n, err := r.number("sys/block/" + name + "/disksize"); err == nil && n > 0 {
			sum, found = sum+n, true
		}
	}
	if found {
		r.addVolatile("memory.zram_b", events.NumberValue(sum), "/sys/block/zram*/disksize")
	}
}

// pressure adds the share of the last ten seconds, in percent, in which tasks waited for a
// resource.
func (r *factBuilder) pressure() {
	for _, resource := range []string{"cpu", "io", "memory"} {
		key, source := "pressure."+resource+".some_avg10_pct", "/proc/pressure/"+resource
		text, err := r.read("proc/pressure/" + resource)
		if err != nil {
			r.addUnknown(key, source, err)
			continue
		}
		for line := range strings.Lines(text) {
			kind, rest, _ := strings.Cut(line, " ")
			avg, _, _ := strings.Cut(strings.TrimPrefix(rest, "avg10="), " ")
			if _, err := strconv.ParseFloat(avg, 64); err == nil && (kind == "some" || kind == "full") {
				r.addVolatile("pressure."+resource+"."+kind+"_avg10_pct", events.TextValue(avg), source)
			}
		}
	}
}
