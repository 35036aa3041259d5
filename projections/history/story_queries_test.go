package history_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
	"cortex/projections/history"
	"cortex/projections/projectiontest"
)

var addGolden = flag.Bool("add-golden", false, "write golden files that do not exist yet")

func TestTrailListsLaterUndosAndRedos(t *testing.T) {
	s := newStory()
	changes := changesOf([]string{"cowsay", "perl"})
	first := s.install("cowsay", "perl")                  // 1
	undo := s.undo(events.VerbUndo, first, back(changes)) // 2
	redo := s.undo(events.VerbRedo, undo, changes)        // 3
	again := s.undo(events.VerbUndo, redo, back(changes)) // 4
	_, reader := build(t, t.TempDir(), s.records)
	for id, want := range map[events.TransactionID]struct {
		trail   string
		undone  bool
		summary string
	}{
		first: {"undone by 2, redone by 3, undone by 4", true, "cowsay (+1)"},
		undo:  {"undone by 3, redone by 4", false, "1: cowsay (+1)"},
		redo:  {"undone by 4", true, "2: cowsay (+1)"},
		again: {"", false, "3: cowsay (+1)"},
	} {
		d, err := reader.Show(t.Context(), string(id))
		if err != nil {
			t.Fatal(err)
		}
		if d.CompensationSummary() != want.trail || d.Undone() != want.undone || d.Summary != want.summary {
			t.Errorf("%d: trail %q, undone %v, summary %q", d.Number, d.CompensationSummary(), d.Undone(), d.Summary)
		}
	}
	last, err := reader.LastUndoable(t.Context())
	if !errors.Is(err, events.ErrNotFound) {
		t.Errorf("LastUndoable returned an undo: %d, %v", last.Number, err)
	}
	if last, err = reader.LastRedoable(t.Context()); err != nil || last.ID != again {
		t.Errorf("LastRedoable: %d, %v", last.Number, err)
	}
}

func TestLastUndoableIsTheLastThatRan(t *testing.T) {
	s := newStory()
	early := s.request(events.Intent{Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "sl"}}, DryRun: true}) // 1
	s.install("cowsay")                                                                                                    // 2
	s.run(early, changesOf([]string{"sl"}))                                                                                // 1 runs after 2
	_, reader := build(t, t.TempDir(), s.records)
	if last, err := reader.LastUndoable(t.Context()); err != nil || last.ID != early {
		t.Errorf("got %d, %v", last.Number, err)
	}
}

func TestLaterOverlapping(t *testing.T) {
	s := newStory()
	first := s.install("cowsay", "perl", "vim") // 1
	s.install("sl")                             // 2
	s.install("jq", "perl", "vim")              // 3
	s.install("vim")                            // 4
	_, reader := build(t, t.TempDir(), s.records)
	later, err := reader.LaterOverlapping(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	got := map[int][]string{}
	var order []int
	for _, l := range later {
		order = append(order, l.Number)
		for _, k := range l.Packages {
			got[l.Number] = append(got[l.Number], string(k.Name))
		}
	}
	if diff := cmp.Diff(map[int][]string{4: {"vim"}, 3: {"perl", "vim"}}, got); diff != "" || !cmp.Equal(order, []int{4, 3}) {
		t.Errorf("order %v (-want +got)\n%s", order, diff)
	}
	third, err := reader.Resolve(t.Context(), "3")
	if err != nil {
		t.Fatal(err)
	}
	if later, err = reader.LaterOverlapping(t.Context(), third); err != nil || len(later) != 1 || later[0].Number != 4 {
		t.Errorf("after the third: %v, %v", later, err)
	}
	if later, err = reader.LaterOverlapping(t.Context(), "01940000-0000-7000-8000-00000000ffff"); err != nil || len(later) != 0 {
		t.Errorf("an unknown transaction: %v, %v", later, err)
	}
}

func TestAwaitingApprovalIsTheNewest(t *testing.T) {
	s := newStory()
	plan := planFor(changesOf([]string{"cowsay"}))
	planned := func() events.TransactionID {
		id := s.request(events.Intent{Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "cowsay"}}, DryRun: true})
		s.add(id, &events.Planned{PlanID: plan.ID(), Plan: plan})
		return id
	}
	planned()
	second, third := planned(), planned()
	s.add(third, &events.Cancelled{})
	_, reader := build(t, t.TempDir(), s.records)
	if got, err := reader.AwaitingApproval(t.Context(), plan.ID()); err != nil || got.ID != second {
		t.Errorf("got %d, %v", got.Number, err)
	}
	if _, err := reader.AwaitingApproval(t.Context(), "000000000000"); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("an unknown plan: %v", err)
	}
	if _, err := reader.AwaitingApproval(t.Context(), "x"); !errors.Is(err, events.ErrUsage) {
		t.Errorf("an invalid plan id: %v", err)
	}

	s = newStory()
	s.install("cowsay")
	_, reader = build(t, t.TempDir(), s.records)
	if _, err := reader.AwaitingApproval(t.Context(), plan.ID()); !errors.Is(err, events.ErrStale) || !strings.Contains(err.Error(), "already used by transaction 1, state succeeded") {
		t.Errorf("a plan that ran: %v", err)
	}
}

// The third transaction is only requested, so last and last-N skip it.
func TestResolveChanged(t *testing.T) {
	s := newStory()
	ids := []events.TransactionID{"", s.install("cowsay"), s.install("sl")}
	s.request(events.Intent{Verb: events.VerbInstall, Packages: refs("fortune")})
	_, reader := build(t, t.TempDir(), s.records)
	for ref, want := range map[string]int{"last": 2, " LAST": 2, "last-1": 1, "1": 1} {
		if got, err := reader.ResolveChanged(t.Context(), ref); err != nil || got.ID != ids[want] {
			t.Errorf("%q is %d, %v, not %d", ref, got.Number, err, want)
		}
	}
	if got, err := reader.ResolveChanged(t.Context(), "3"); err != nil || got.Number != 3 {
		t.Errorf("by number: %d, %v", got.Number, err)
	}
	if _, err := reader.ResolveChanged(t.Context(), "last-2"); !errors.Is(err, events.ErrNotFound) || !strings.Contains(err.Error(), "only 2 transactions changed something") {
		t.Errorf("last-2 of 2: %v", err)
	}
}

func TestResolve(t *testing.T) {
	s := newStory()
	ids := []events.TransactionID{"", s.install("cowsay"), s.install("sl"), s.install("cowsay")}
	plan := planFor(changesOf([]string{"sl"})).ID()
	_, reader := build(t, t.TempDir(), s.records)
	for ref, want := range map[string]int{
		"1": 1, " 3 ": 3, "last": 3, "LAST": 3, "last-0": 3, "last-2": 1, string(plan): 2, strings.ToUpper(string(plan)): 2,
		string(ids[2]): 2, strings.ToUpper(string(ids[2])): 2, string(ids[1][:8]): 1, string(ids[3][:20]): 3,
		string(planFor(changesOf([]string{"cowsay"})).ID()): 3,
	} {
		if got, err := reader.Resolve(t.Context(), ref); err != nil || got != ids[want] {
			t.Errorf("%q is %q, %v, not %d", ref, got, err, want)
		}
	}
	for ref, kind := range map[string]events.ErrorKind{
		"4": events.ErrNotFound, "last-3": events.ErrNotFound, "123456789012345": events.ErrNotFound, "ffffff": events.ErrNotFound,
		"000000000000": events.ErrNotFound, "123456789012": events.ErrNotFound, "0194ffff-0000": events.ErrNotFound,
		"": events.ErrUsage, "0": events.ErrUsage, "-1": events.ErrUsage, "cowsay": events.ErrUsage, "last-": events.ErrUsage, "last-x": events.ErrUsage,
		"last--1": events.ErrUsage, "01940": events.ErrUsage, string(ids[1][:6]): events.ErrUsage, "last-99999999999999999999": events.ErrUsage,
		"1;drop table": events.ErrUsage, "%": events.ErrUsage,
	} {
		_, err := reader.Resolve(t.Context(), ref)
		if !errors.Is(err, kind) || events.HintOf(err) == "" {
			t.Errorf("%q: %v (hint %q), not %s", ref, err, events.HintOf(err), kind)
		}
	}
	_, empty := build(t, t.TempDir(), newStory().records)
	if _, err := empty.Show(t.Context(), "last"); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("last of an empty history: %v", err)
	}
}

func TestListOfAnInvalidStateIsAnError(t *testing.T) {
	_, reader := build(t, t.TempDir(), newStory().records)
	if _, err := reader.List(t.Context(), history.Filter{State: "x' OR '1'='1"}); !errors.Is(err, events.ErrUsage) || events.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestInvalidFactsAreDeadLetters(t *testing.T) {
	other := events.TransactionID("01940000-0000-7000-8000-00000000ffff")
	plan := planFor(changesOf([]string{"cowsay"}))
	for name, add := range map[string]func(s *story, id events.TransactionID){
		"a fact without a request": func(s *story, _ events.TransactionID) { s.add(other, &events.Succeeded{}) },
		"a plan after the end":     func(s *story, id events.TransactionID) { s.add(id, &events.Planned{PlanID: plan.ID(), Plan: plan}) },
		"a second start":           func(s *story, id events.TransactionID) { s.add(id, &events.Started{}) },
		"a step after the end":     func(s *story, id events.TransactionID) { s.add(id, &events.StepStarted{Index: 1}) },
		"a second end": func(s *story, id events.TransactionID) {
			s.add(id, &events.Succeeded{Changes: changesOf([]string{"x11"})})
		},
		"a refusal after the end": func(s *story, id events.TransactionID) { s.add(id, &events.Refused{}) },
		"a duplicate number": func(s *story, _ events.TransactionID) {
			s.add(other, &events.Requested{Number: 1, Intent: events.Intent{Verb: events.VerbUpgrade}})
		},
		"a second request": func(s *story, id events.TransactionID) {
			s.add(id, &events.Requested{Number: 9, Intent: events.Intent{Verb: events.VerbUpgrade}})
		},
		"a request without a number": func(s *story, _ events.TransactionID) {
			s.add(other, &events.Requested{Intent: events.Intent{Verb: events.VerbUpgrade}})
		},
		"two steps at the same time": func(s *story, _ events.TransactionID) {
			running := s.running()
			s.add(running, &events.StepStarted{Index: 0})
			s.add(running, &events.StepStarted{Index: 1})
			s.finish(running)
		},
		"a skipped step": func(s *story, _ events.TransactionID) {
			running := s.running()
			s.add(running, &events.StepStarted{Index: 1})
			s.finish(running)
		},
		"the end of a step without a start": func(s *story, _ events.TransactionID) {
			running := s.running()
			s.add(running, &events.StepSucceeded{Index: 0})
			s.finish(running)
		},
		"a retry without a dead letter": func(s *story, _ events.TransactionID) { s.add("", &events.DeadLetterRetried{DeadLetter: storyID(1)}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory()
			id := s.install("cowsay")
			add(s, id)
			s.install("sl")
			m, err := projections.New(history.Definition(), projectiontest.Open, projections.Config{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Open(t.Context(), memlog.New(projectiontest.Host)); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := m.Close(); err != nil {
					t.Error(err)
				}
			}()
			if err := m.Apply(t.Context(), s.records); err != nil {
				t.Fatal(err)
			}
			letters, err := m.DeadLetters(t.Context())
			if err != nil || len(letters) != 1 {
				t.Errorf("dead letters: %v, %v", letters, err)
			}
			db, err := projectiontest.OpenReader(m.Path())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			list, err := history.NewReader(db).List(t.Context(), history.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range list {
				if x.State != events.StateSucceeded || x.PackagesChanged != 1 {
					t.Errorf("transaction %+v", x)
				}
			}
			if len(list) != s.numbers {
				t.Errorf("%d transactions of %d", len(list), s.numbers)
			}
		})
	}
}

// TestJSONForm tests the public JSON form. Never edit a file in testdata.
func TestJSONForm(t *testing.T) {
	s := newStory()
	first := s.install("cowsay", "perl")
	s.undo(events.VerbUndo, first, back(changesOf([]string{"cowsay", "perl"})))
	failed := s.request(events.Intent{
		Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "sl", Version: "5.02-1"}}, CommandLine: "cortex install sl=5.02-1",
		Options: events.Options{Reinstall: true, LockWaitSec: 3}, DryRun: true,
	})
	plan := planFor(changesOf([]string{"sl"}))
	plan.Residue, plan.Notes = []string{"sl: cannot be brought back"}, []string{"a note"}
	why := events.Failure{Kind: events.ErrApt, Subject: "sl", Message: "post-installation script failed", Hint: "see 'cortex show'"}
	s.add(failed, &events.Planned{PlanID: plan.ID(), Plan: plan, InventoryHash: "00ff"})
	s.add(failed, &events.Approved{PlanID: plan.ID(), How: "apply"})
	s.add(failed, &events.Started{PlanID: plan.ID()})
	s.add(failed, &events.StepStarted{Index: 0, Op: events.OpInstall, Argv: []string{"apt-get", "install", "sl"}})
	s.add(failed, &events.StepFailed{Index: 0, Output: "E: no\n", ExitCode: 100, Failure: why, DurationMs: 30})
	s.add(failed, &events.Interrupted{Changes: changesOf([]string{"sl"}), Reason: "cut off", Recovered: []string{"dpkg --configure -a"}})
	s.add(failed, &events.DeadLettered{Handler: "planner", Stream: "CORTEX_EVT", StreamPosition: 7, EventID: storyID(7), EventKind: events.KindInstallRequested, Failure: why, Attempts: 5})
	_, reader := build(t, t.TempDir(), s.records)

	list, err := reader.List(t.Context(), history.Filter{})
	golden(t, "list.v1.json", list, err)
	shown, err := reader.Show(t.Context(), "3")
	golden(t, "show.v1.json", shown, err)
	letters, err := reader.HandlerDeadLetters(t.Context())
	golden(t, "parked.v1.json", letters, err)
	later, err := reader.LaterOverlapping(t.Context(), first)
	golden(t, "later.v1.json", later, err)
	totals, err := reader.Totals(t.Context())
	golden(t, "counts.v1.json", totals, err)
}

func golden(t *testing.T, name string, v any, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name)
	want, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && *addGolden {
		want, err = got.Bytes(), os.WriteFile(path, got.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (-want +got)\n%s", name, diff)
	}
}
