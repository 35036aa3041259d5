package events_test

import (
	"errors"
	"fmt"
	"testing"

	"cortex/events"
)

// The limits are written out: a plan that an older Cortex accepted must stay valid.
func TestPlanLimits(t *testing.T) {
	file := func(i int) events.FileChange { return events.FileChange{Path: fmt.Sprintf("/etc/%d", i)} }
	setting := func(i int) events.SettingChange {
		return events.SettingChange{Kind: events.SettingDebconf, Name: fmt.Sprint(i)}
	}
	fill := func(n int, add func(i int)) {
		for i := range n {
			add(i)
		}
	}
	for name, tc := range map[string]struct {
		most int
		plan func(n int) events.Plan
	}{
		"files": {4_000, func(n int) (p events.Plan) {
			p.Steps = make([]events.Step, 2)
			fill(n, func(i int) { p.Steps[i%2].Files = append(p.Steps[i%2].Files, file(i)) })
			return p
		}},
		"settings": {4_000, func(n int) (p events.Plan) {
			p.Steps = make([]events.Step, 2)
			fill(n, func(i int) { p.Steps[i%2].Settings = append(p.Steps[i%2].Settings, setting(i)) })
			return p
		}},
		"steps":   {64, func(n int) events.Plan { return events.Plan{Steps: make([]events.Step, n)} }},
		"changes": {20_000, func(n int) events.Plan { return events.Plan{Changes: make([]events.PlannedChange, n)} }},
	} {
		if err := tc.plan(tc.most).Validate(); err != nil {
			t.Errorf("%d %s: %v", tc.most, name, err)
		}
		if err := tc.plan(tc.most + 1).Validate(); !errors.Is(err, events.ErrUsage) {
			t.Errorf("%d %s: %v, want a usage error", tc.most+1, name, err)
		}
	}
}

func TestUndoForcesAtMost4000Paths(t *testing.T) {
	in := events.Intent{Verb: events.VerbUndo, Target: "01940000-0000-7000-8000-000000000001"}
	for i := range 4_000 {
		in.Options.Force = append(in.Options.Force, fmt.Sprintf("/etc/%d", i))
	}
	if err := in.Validate(); err != nil {
		t.Error(err)
	}
	in.Options.Force = append(in.Options.Force, "/etc/more")
	if err := in.Validate(); !errors.Is(err, events.ErrUsage) {
		t.Errorf("4,001 paths: %v, want a usage error", err)
	}
}
