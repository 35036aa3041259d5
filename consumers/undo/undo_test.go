package undo_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cortex/consumers/inventory"
	"cortex/consumers/recorder"
	"cortex/consumers/undo"
	"cortex/events"
	"cortex/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = events.HostID("01940000-0000-7000-8000-000000000001")

func key(name string) events.PackageKey {
	return events.PackageKey{Name: events.PackageName(name), Arch: "amd64"}
}

// state parses "1.0", "1.0 auto", "1.0 hold", "1.0 rc", "1.0 half" or "-".
func state(s string) events.State {
	version, word, _ := strings.Cut(s, " ")
	if version == "-" {
		return events.State{}
	}
	st := events.State{Version: events.Version(version), Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled}
	switch word {
	case "auto":
		st.Auto = true
	case "hold":
		st.Want = events.WantHold
	case "rc":
		st.Want, st.Status = events.WantDeinstall, events.StatusConfigFiles
	case "half":
		st.Status = events.StatusHalfConfigured
	}
	return st
}

// packages returns effects on packages only.
func packages(changes ...events.PackageChange) undo.MergedEffects {
	return undo.MergedEffects{Effects: events.Effects{Changes: changes}}
}

// none has no package files.
func none(events.PackageKey, events.Version) (events.Deb, bool) { return events.Deb{}, false }

// format writes steps in short form: "install toy=1.0 other-", "mark-auto toy".
func format(steps []events.Step) []string {
	var out []string
	for _, s := range steps {
		line := string(s.Op)
		for _, target := range s.Targets {
			line += " " + string(target.Name)
			if target.Version != "" {
				line += "=" + string(target.Version)
			}
			if target.Remove {
				line += "-"
			}
		}
		out = append(out, line)
	}
	return out
}

func TestPlanInverse(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after, now string
		steps              []string
		residue, conflicts int
	}{
		"an install is purged":                       {"-", "1.0", "1.0", []string{"install toy-", "forget toy"}, 0, 0},
		"an install over configuration is removed":   {"1.0 rc", "1.0", "1.0", []string{"install toy-"}, 0, 0},
		"the version of left configuration may move": {"0.9 rc", "1.0", "1.0", []string{"install toy-"}, 1, 0},
		"an upgrade is downgraded":                   {"1.0", "2.0", "2.0", []string{"install toy=1.0"}, 0, 0},
		"an automatic package stays automatic":       {"1.0 auto", "2.0 auto", "2.0 auto", []string{"install toy=1.0", "mark-auto toy"}, 0, 0},
		"a removal is installed":                     {"1.0", "1.0 rc", "1.0 rc", []string{"install toy=1.0"}, 0, 0},
		"a removed automatic package is marked":      {"1.0 auto", "-", "-", []string{"install toy=1.0", "mark-auto toy"}, 0, 0},
		"a purge is installed":                       {"1.0", "-", "-", []string{"install toy=1.0"}, 0, 0},
		"left configuration that was purged is gone": {"1.0 rc", "-", "-", nil, 1, 0},
		"a failed install is taken away":             {"-", "1.0 half", "1.0 half", []string{"install toy-", "forget toy"}, 0, 0},
		"a failed first configuration leaves rc":     {"-", "1.0 rc", "1.0 rc", []string{"forget toy"}, 0, 0},
		"a failed upgrade goes back":                 {"1.0", "2.0 half", "2.0 half", []string{"install toy=1.0"}, 0, 0},
		"a broken state is not restored":             {"1.0 half", "1.0", "1.0", nil, 1, 0},
		"a hold is lifted":                           {"1.0", "1.0 hold", "1.0 hold", []string{"unhold toy"}, 0, 0},
		"a lifted hold comes back":                   {"1.0 hold", "1.0", "1.0", []string{"hold toy"}, 0, 0},
		"a hold lost with a removal comes back":      {"1.0 hold", "1.0 rc", "1.0 rc", []string{"install toy=1.0", "hold toy"}, 0, 0},
		"a mark is restored":                         {"1.0 auto", "1.0", "1.0", []string{"mark-auto toy"}, 0, 0},
		"a manual mark is restored":                  {"1.0", "1.0 auto", "1.0 auto", []string{"mark-manual toy"}, 0, 0},
		"nothing to do":                              {"1.0", "2.0", "1.0", nil, 0, 0},
		"somebody went further":                      {"1.0", "2.0", "3.0", nil, 0, 1},
		"somebody removed it since":                  {"1.0", "2.0", "-", nil, 0, 1},
		"a mark somebody changed since is kept":      {"1.0", "1.0 hold", "1.0 auto", nil, 0, 0},
		"a hold somebody set since is kept":          {"1.0", "2.0", "2.0 hold", []string{"install toy=1.0"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			now := events.Inventory{}
			if s := state(tc.now); s.Known() {
				now[key("toy")] = s
			}
			got := undo.PlanInverse(packages(events.PackageChange{PackageKey: key("toy"), Before: state(tc.before), After: state(tc.after)}), undo.CurrentState{Packages: now, FindDeb: none}, nil)
			if diff := cmp.Diff(tc.steps, format(got.Steps)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if len(got.Residue) != tc.residue || len(got.Conflicts) != tc.conflicts {
				t.Errorf("residue %q, conflicts %q; want %d, %d", got.Residue, got.Conflicts, tc.residue, tc.conflicts)
			}
		})
	}
}

// For all states: a package that is already in its earlier state has no step, and one
// with a conflict is not changed.
func TestPlanInverseTouchesOnlyUnchangedElements(t *testing.T) {
	states := rapid.SampledFrom([]string{"-", "1.0", "2.0", "1.0 auto", "2.0 auto", "1.0 hold", "1.0 rc", "2.0 rc", "1.0 half", "2.0 half"})
	rapid.Check(t, func(rt *rapid.T) {
		change := events.PackageChange{PackageKey: key("toy"), Before: state(states.Draw(rt, "before")), After: state(states.Draw(rt, "after"))}
		now := state(states.Draw(rt, "now"))
		got := undo.PlanInverse(packages(change), undo.CurrentState{Packages: events.Inventory{change.PackageKey: now}, FindDeb: none}, nil)
		if now == change.Before && len(got.Steps) > 0 {
			rt.Fatalf("already as before, but %q", format(got.Steps))
		}
		if len(got.Conflicts) > 0 && len(got.Steps)+len(got.Touched) > 0 {
			rt.Fatalf("conflict %q and steps %q", got.Conflicts, format(got.Steps))
		}
		if now == change.After && len(got.Conflicts) > 0 {
			rt.Fatalf("untouched since, but %q", got.Conflicts)
		}
	})
}

// bench is a recorder over a log in memory, with counted ids and times.
func bench(t *testing.T) (*memlog.Log, *recorder.Recorder) {
	t.Helper()
	log := memlog.New(host)
	n := 0
	return log, &recorder.Recorder{
		Log: log, Actor: events.Actor{Program: "test"},
		Now: func() time.Time { return time.Date(2026, 11, 23, 12, 0, n, 0, time.UTC) },
		NewID: func() events.ID {
			n++
			return events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", n))
		},
	}
}

func run(t *testing.T, s *recorder.Recorder, in events.Intent, plan events.Plan, end events.Fact) (*events.Transaction, events.Record) {
	t.Helper()
	txn := &events.Transaction{ID: events.TransactionID(s.NewID())}
	var last events.Record
	for _, f := range []events.Fact{&events.Requested{Intent: in}, &events.Planned{Plan: plan, PlanID: plan.ID()}, &events.Approved{PlanID: plan.ID()}, &events.Started{PlanID: plan.ID()}, end} {
		r, err := s.AppendToTransaction(context.Background(), recorder.Cause{}, txn, f)
		if err != nil {
			t.Fatal(err)
		}
		last = r
	}
	return txn, last
}

func TestCompensatorUsesLogAtEndOfUndo(t *testing.T) {
	install := events.Intent{Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "toy"}}}
	there := []events.PackageChange{{PackageKey: key("toy"), After: state("1.0")}}
	back := []events.PackageChange{{PackageKey: key("toy"), Before: state("1.0")}}
	leftover := []events.PackageChange{{PackageKey: key("toy"), Before: state("1.0"), After: state("1.0 rc")}}
	for name, tc := range map[string]struct {
		end            events.Fact
		residue        []string // of the undo's plan
		judged, exact  bool
		afterwards     []events.PackageChange
		residueEntries int
	}{
		"exact":                     {end: &events.Succeeded{Changes: back}, judged: true, exact: true},
		"said beforehand":           {end: &events.Succeeded{Changes: back}, residue: []string{"toy: its data"}, judged: true, residueEntries: 1},
		"left behind":               {end: &events.Succeeded{Changes: leftover}, judged: true, residueEntries: 1},
		"failed before the end":     {end: &events.Failed{Changes: leftover}},
		"cut off but complete":      {end: &events.Interrupted{Changes: back, Reason: "r"}, judged: true, exact: true},
		"cut off in the middle":     {end: &events.Interrupted{Changes: leftover, Reason: "r"}},
		"later changes don't count": {end: &events.Succeeded{Changes: back}, afterwards: there, judged: true, exact: true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			log, s := bench(t)
			if _, err := s.Append(ctx, recorder.Cause{}, events.MachineSubject(host), &events.BaselineRecorded{}, events.NoExpectation); err != nil {
				t.Fatal(err)
			}
			done, _ := run(t, s, install, events.Plan{}, &events.Succeeded{Changes: there})
			_, end := run(t, s, events.Intent{Verb: events.VerbUndo, Target: done.ID}, events.Plan{Residue: tc.residue}, tc.end)
			if tc.afterwards != nil {
				if _, err := s.Append(ctx, recorder.Cause{}, events.MachineSubject(host), &events.DriftDetected{Changes: tc.afterwards}, events.NoExpectation); err != nil {
					t.Fatal(err)
				}
			}
			c := undo.NewCompensator(s, inventory.New(log))
			for range 3 { // delivered three times
				if err := c.Handle(ctx, end); err != nil {
					t.Fatal(err)
				}
			}
			got, err := events.LoadTransaction(ctx, log, done.ID)
			if err != nil {
				t.Fatal(err)
			}
			if (got.CompensatedBy != "") != tc.judged || got.Exact != tc.exact || len(got.Residue) != tc.residueEntries {
				t.Errorf("compensated by %q, exact %v, residue %q", got.CompensatedBy, got.Exact, got.Residue)
			}
		})
	}
}
