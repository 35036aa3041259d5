package limits

import (
	"errors"
	"fmt"
	"strings"

	"cortex/events"
)

// presetShares are shares of the machine, in percent.
type presetShares struct {
	name, description string
	memory, cpu       int64
	pids              int64
	io                int64
	oom               int
}

// presetTable in the order in which they are listed.
func presetTable() []presetShares {
	return []presetShares{
		{name: "inference", description: "a model that serves requests: most of the memory, every processor", memory: 75, cpu: 100, pids: 4096, io: 200, oom: 100},
		{name: "training", description: "long work that the machine is for, with room for administration", memory: 85, cpu: 90, pids: 8192, io: 100, oom: 300},
		{name: "batch", description: "work that can wait, and is killed first when memory is short", memory: 50, cpu: 50, pids: 4096, io: 25, oom: 800},
		{name: "interactive", description: "interactive use alongside other work", memory: 50, cpu: 75, pids: 2048, io: 500},
	}
}

// Preset is a profile that follows from the machine.
type Preset struct {
	events.LimitProfile
	Description string `json:"what"`
}

// Presets are the profiles of this machine, by facts of its hardware: shares of the
// memory and the processors that this process may use. It fails with ErrUnavailable where
// those facts are missing.
func Presets(facts []events.HardwareFact) ([]Preset, error) {
	mem, ok := smallestFact(facts, "memory.total_b", "cgroup.memory_max_b")
	threads, ok2 := factValue(facts, "cpu.threads")
	if !ok || !ok2 || mem < events.MinLimitMemory || threads < 1 {
		return nil, &events.Error{Op: "limits.Presets", Kind: events.ErrUnavailable, Subject: "memory and processors of this machine", Err: errors.New("not known, so there are no presets"), Hint: "see 'cortex hardware', and set limits with 'cortex limits create'"}
	}
	millis := threads * 1000
	if n, ok := factValue(facts, "cgroup.cpu_millis"); ok && n > 0 {
		millis = min(millis, n)
	}
	var out []Preset
	for _, p := range presetTable() {
		l := events.Limits{
			MemoryBytes: max(mem*p.memory/100>>20<<20, events.MinLimitMemory), CPUMillis: max(millis*p.cpu/100, 10),
			Pids: p.pids, IOWeight: p.io, OOMScore: p.oom,
		}
		out = append(out, Preset{events.LimitProfile{Name: p.name, Limits: l}, p.description})
	}
	return out, nil
}

func factValue(facts []events.HardwareFact, key string) (int64, bool) {
	f, _ := events.FindHardwareFact(facts, key)
	return f.Value.Int()
}

func smallestFact(facts []events.HardwareFact, keys ...string) (least int64, ok bool) {
	for _, k := range keys {
		if n, known := factValue(facts, k); known && n > 0 && (!ok || n < least) {
			least, ok = n, true
		}
	}
	return least, ok
}

// FindProfile returns the profile of that name: one that was set, or else a preset. It fails
// with ErrNotFound.
func FindProfile(name string, set []events.LimitProfile, made []Preset) (events.LimitProfile, error) {
	var names []string
	for _, p := range set {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	for _, p := range made {
		if p.Name == name {
			return p.LimitProfile, nil
		}
		names = append(names, p.Name)
	}
	return events.LimitProfile{}, &events.Error{Op: "limits.Find", Kind: events.ErrNotFound, Subject: fmt.Sprintf("profile %q", name), Err: errors.New("no such profile"), Hint: "profiles: " + strings.Join(names, ", ")}
}
