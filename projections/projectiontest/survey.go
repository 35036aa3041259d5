package projectiontest

import (
	"fmt"

	"cortex/events"
)

// hardwareSnapshot records a snapshot of random hardware and its changes.
func (w *historyGenerator) hardwareSnapshot() {
	facts := []events.HardwareFact{
		{Key: "cpu.flags", Value: events.ListValue([]string{"avx", "lm"}), Source: "/proc/cpuinfo", Confidence: events.ConfidenceCertain},
		{Key: "cpu.threads", Value: events.NumberValue(int64(1 + w.choose(3))), Source: "/sys", Confidence: events.ConfidenceCertain},
		{Key: "dmi.sys_vendor", Source: "/sys/class/dmi/id/sys_vendor", Confidence: events.ConfidenceUnknown, Error: "permission denied"},
		{Key: "memory.free_b", Value: events.NumberValue(int64(w.choose(9000))), Source: "/proc/meminfo", Confidence: events.ConfidenceCertain, Volatile: true},
	}
	if w.chance(50) {
		facts[2] = events.HardwareFact{Key: "dmi.sys_vendor", Value: events.TextValue("LENOVO"), Source: "/sys/class/dmi/id/sys_vendor", Confidence: events.ConfidenceCertain}
	}
	next := &events.HardwareSnapshot{
		Reason: []events.HardwareSnapshotReason{events.HardwareSnapshotAtStart, events.HardwareSnapshotOnRequest, events.HardwareSnapshotBeforePlan}[w.choose(3)],
		BootID: fmt.Sprintf("boot %d", w.choose(3)), DevicesHash: "d", StableHash: events.StableHash(facts), Facts: facts, TookUs: int64(w.choose(9000)),
	}
	if before, at := w.lastSnapshot, w.lastSnapshotAt; before != nil {
		if changes := events.DiffHardware(before.Facts, facts); len(changes) > 0 {
			w.appendMachineFact(&events.HardwareChanged{Before: at, Changes: changes})
		}
	}
	w.appendMachineFact(next)
	at := w.records[len(w.records)-1]
	w.lastSnapshot, w.lastSnapshotAt = next, at.Position
	if w.chance(20) {
		w.appendMachineFact(&events.TreeHeadSigned{Size: at.Position, Root: at.Hash.String(), Note: "signed\n"})
	}
	w.limits()
}

// limits records a limit profile, a limited group and its end, each at random.
func (w *historyGenerator) limits() {
	l := events.Limits{MemoryBytes: int64(1+w.choose(9)) << 30, CPUMillis: 500, Pids: 64}
	name := []string{"training", "batch", "mine"}[w.choose(3)]
	if w.chance(50) {
		w.appendMachineFact(&events.LimitProfileSet{LimitProfile: events.LimitProfile{Name: name, Limits: l}})
	}
	unit := fmt.Sprintf("cortex-%s-%d", name, len(w.records))
	if !w.chance(50) {
		w.appendMachineFact(&events.LimitsRefused{Unit: unit, Failure: events.Failure{Kind: events.ErrNotFound, Message: "no such process"}})
		return
	}
	w.appendMachineFact(&events.LimitsApplied{
		Unit: unit, Profile: name, Limits: l, How: "run", Backend: "cgroup v2", Target: "python3", PID: 41,
		Effects: []events.LimitEffect{{Resource: "memory", Value: "1", Enforced: true, By: "memory.max"}, {Resource: "gpu", Value: "none", Reason: "no device controller"}},
	})
	if w.chance(60) {
		w.appendMachineFact(&events.LimitsReverted{Unit: unit, Reason: "ended", Exit: w.choose(3), Usage: events.UnknownUsage})
	}
}
