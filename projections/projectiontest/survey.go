package projectiontest

import (
	"fmt"

	"cortex/events"
)

// survey looks at a machine whose processors and memory come and go.
func (w *world) survey() {
	facts := []events.HardwareFact{
		{Key: "cpu.flags", Value: events.ListValue([]string{"avx", "lm"}), Source: "/proc/cpuinfo", Confidence: events.Certain},
		{Key: "cpu.threads", Value: events.NumberValue(int64(1 + w.choose(3))), Source: "/sys", Confidence: events.Certain},
		{Key: "dmi.sys_vendor", Source: "/sys/class/dmi/id/sys_vendor", Confidence: events.Unknown, Error: "permission denied"},
		{Key: "memory.free_b", Value: events.NumberValue(int64(w.choose(9000))), Source: "/proc/meminfo", Confidence: events.Certain, Volatile: true},
	}
	if w.chance(50) {
		facts[2] = events.HardwareFact{Key: "dmi.sys_vendor", Value: events.TextValue("LENOVO"), Source: "/sys/class/dmi/id/sys_vendor", Confidence: events.Certain}
	}
	next := &events.HardwareSnapshot{
		Reason: []events.SurveyReason{events.SurveyAtStart, events.SurveyOnRequest, events.SurveyBeforePlan}[w.choose(3)],
		BootID: fmt.Sprintf("boot %d", w.choose(3)), Devices: "d", Stable: events.StableHash(facts), Facts: facts, TookUs: int64(w.choose(9000)),
	}
	if before, at := w.surveyed, w.surveyedAt; before != nil {
		if changes := events.DiffHardware(before.Facts, facts); len(changes) > 0 {
			w.machine(&events.HardwareChanged{Before: at, Changes: changes})
		}
	}
	w.machine(next)
	at := w.records[len(w.records)-1]
	w.surveyed, w.surveyedAt = next, at.Position
	if w.chance(20) {
		w.machine(&events.AuditHead{Size: at.Position, Root: at.Hash.String(), Note: "signed\n"})
	}
}
