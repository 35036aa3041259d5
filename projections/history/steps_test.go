package history_test

import (
	"testing"

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
	"cortex/projections/history"
	"cortex/projections/projectiontest"
)

// A fact about a step that is out of order becomes a dead letter, and the row of the
// step stays as it was.
func TestStepOutOfOrderIsDeadLetter(t *testing.T) {
	start := func(i int) events.Fact { return &events.StepStarted{Index: i, Op: events.OpInstall} }
	succeed := func(i int) events.Fact { return &events.StepSucceeded{Index: i, Output: "done"} }
	fail := func(i int) events.Fact { return &events.StepFailed{Index: i, ExitCode: 100} }
	for name, tc := range map[string]struct {
		facts       []events.Fact
		deadLetters int
		ok          []bool // of the recorded steps
	}{
		"in order":                        {[]events.Fact{start(0), succeed(0), start(1), fail(1)}, 0, []bool{true, false}},
		"a step ends twice":               {[]events.Fact{start(0), succeed(0), fail(0)}, 1, []bool{true}},
		"a step ends twice the same way":  {[]events.Fact{start(0), succeed(0), succeed(0)}, 1, []bool{true}},
		"a step ends that did not start":  {[]events.Fact{start(0), succeed(1)}, 1, []bool{false}},
		"a step starts before the end":    {[]events.Fact{start(0), start(1), succeed(0)}, 1, []bool{true}},
		"a step starts twice":             {[]events.Fact{start(0), start(0), succeed(0)}, 1, []bool{true}},
		"a step is left out":              {[]events.Fact{start(0), succeed(0), start(2)}, 1, []bool{true}},
		"a step ends after a later began": {[]events.Fact{start(0), succeed(0), start(1), fail(0)}, 1, []bool{true, false}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			id := s.running()
			for _, f := range tc.facts {
				s.add(id, f)
			}
			letters := 0
			m, err := projections.New(history.Definition(), projectiontest.Open, projections.Config{
				Dir: t.TempDir(), OnDeadLetter: func(projections.DeadLetter) { letters++ },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if err := m.Open(t.Context(), memlog.New(projectiontest.Host)); err != nil {
				t.Fatal(err)
			}
			if err := m.Apply(t.Context(), s.records); err != nil {
				t.Fatal(err)
			}
			db, err := projectiontest.OpenReader(m.Path())
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			d, err := history.NewReader(db).Show(t.Context(), string(id))
			if err != nil {
				t.Fatal(err)
			}
			if letters != tc.deadLetters || len(d.Steps) != len(tc.ok) {
				t.Fatalf("%d dead letters and %d steps, want %d and %d", letters, len(d.Steps), tc.deadLetters, len(tc.ok))
			}
			for i, ok := range tc.ok {
				if d.Steps[i].OK != ok {
					t.Errorf("step %d: ok is %v, want %v", i, d.Steps[i].OK, ok)
				}
			}
		})
	}
}
