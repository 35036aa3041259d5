package history_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"cortex/events"
	"cortex/projections"
	"cortex/projections/history"
	"cortex/projections/projectiontest"
)

func TestMain(m *testing.M) { projectiontest.Main(m) }

func TestContract(t *testing.T) {
	projectiontest.Run(t, history.Definition())
}

// build builds a read model and returns it with a reader of its file.
func build(t projectiontest.TB, dir string, records []events.Record) (*projections.ReadModel, *history.Reader) {
	t.Helper()
	m, db := projectiontest.BuildModel(t, history.Definition(), dir, records)
	return m, history.NewReader(db)
}

// fold returns every transaction of a log, oldest first, as events.Transaction folds it.
func fold(t projectiontest.TB, records []events.Record) []*events.Transaction {
	t.Helper()
	byID := map[events.TransactionID]*events.Transaction{}
	var out []*events.Transaction
	for _, r := range records {
		if r.Subject.Noun != "txn" {
			continue
		}
		x := byID[r.Transaction]
		if x == nil {
			x = &events.Transaction{}
			byID[r.Transaction] = x
			out = append(out, x)
		}
		if err := x.Apply(r); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestShowMatchesTheLog(t *testing.T) {
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		records := projectiontest.History(rt, rapid.IntRange(2, 120).Draw(rt, "facts"))
		_, reader := build(rt, filepath.Join(base, fmt.Sprint(n)), records)
		for _, want := range fold(rt, records) {
			got, err := reader.Show(context.Background(), string(want.ID))
			if err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(folded(want), refold(got), cmpopts.EquateEmpty()); diff != "" {
				rt.Fatalf("transaction %d (-log +shown)\n%s", want.Number, diff)
			}
		}
	})
}

// folded removes the fields that the read model does not store.
func folded(x *events.Transaction) events.Transaction {
	y := *x
	y.LastPosition, y.Intent.RollbackTo = 0, 0
	y.Intent.Manifest = nil // can be long, only the log stores it
	y.Snapshots = nil
	if y.State == events.StateCancelled {
		y.Failure = &events.Failure{Kind: events.ErrCancelled, Message: "the user declined"} // Show returns the reason as a failure
	}
	y.Steps = slices.Clone(x.Steps)
	if y.Intent.Target != "" {
		y.Intent.Packages = nil
	}
	return y
}

// refold is the inverse of Show.
func refold(d history.TransactionDetail) events.Transaction {
	x := events.Transaction{
		ID: d.ID, Number: d.Number, State: d.State, Actor: d.Actor, Request: d.RequestID,
		Intent:      events.Intent{Verb: d.Verb, Packages: d.Packages, Options: d.Options, DryRun: d.DryRun, CommandLine: d.CommandLine, Chosen: d.Chosen},
		RequestedAt: d.RequestedAt, EndedAt: d.EndedAt, PlanID: d.PlanID, Changes: d.PackageChanges, Files: d.FileChanges, Settings: d.SettingChanges,
		Failure: d.Failure, Recovered: d.Recovered, Exact: d.Exact, Residue: d.Residue,
	}
	if d.Target != nil {
		x.Intent.Target = d.Target.ID
	}
	if d.Plan != nil {
		x.Plan, x.InventoryHash = d.Plan.Plan, d.Plan.InventoryHash
	}
	if d.Approval != nil {
		x.ApprovedBy, x.ApprovedHow = d.Approval.Actor, d.Approval.How
	}
	if len(d.Compensations) > 0 {
		x.CompensatedBy = d.Compensations[0].ID
	}
	for _, s := range d.Steps {
		x.Steps = append(x.Steps, events.StepRun{
			StepStarted: events.StepStarted{Index: s.Index, Op: s.Op, Argv: s.Argv}, Done: !s.EndedAt.IsZero(), OK: s.OK,
			Output: s.Output, ExitCode: s.ExitCode, Failure: s.Failure, DurationMs: s.DurationMs,
		})
	}
	return x
}

func TestListSelects(t *testing.T) {
	records := sample(3000)
	_, reader := build(t, t.TempDir(), records)
	all, err := reader.List(t.Context(), history.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	transactions := fold(t, records)
	if len(all) != len(transactions) || len(all) < 100 {
		t.Fatalf("%d of %d transactions", len(all), len(transactions))
	}
	touched := map[int]map[events.PackageName]bool{}
	for i, x := range transactions {
		if got := all[len(all)-1-i]; got.Number != x.Number || got.ID != x.ID || got.State != x.State {
			t.Fatalf("row %d is %+v", i, got)
		}
		touched[x.Number] = touches(x, transactions)
	}
	middle := all[len(all)/2]
	for name, c := range map[string]struct {
		filter history.Filter
		keep   func(history.TransactionRow) bool
	}{
		"by package": {history.Filter{Package: "g++"}, func(x history.TransactionRow) bool { return touched[x.Number]["g++"] }},
		"by state":   {history.Filter{State: events.StateFailed}, func(x history.TransactionRow) bool { return x.State == events.StateFailed }},
		"by verb":    {history.Filter{Verb: events.VerbUndo}, func(x history.TransactionRow) bool { return x.Verb == events.VerbUndo }},
		"since": {history.Filter{Since: middle.RequestedAt}, func(x history.TransactionRow) bool {
			return !x.RequestedAt.Before(middle.RequestedAt)
		}},
		"until":  {history.Filter{Until: middle.RequestedAt}, func(x history.TransactionRow) bool { return x.RequestedAt.Before(middle.RequestedAt) }},
		"before": {history.Filter{Before: middle.Number}, func(x history.TransactionRow) bool { return x.Number < middle.Number }},
		"all criteria": {
			history.Filter{Package: "perl", State: events.StateSucceeded, Verb: events.VerbInstall, Before: middle.Number, Since: all[len(all)-1].RequestedAt, Until: all[0].RequestedAt},
			func(x history.TransactionRow) bool {
				return touched[x.Number]["perl"] && x.State == events.StateSucceeded && x.Verb == events.VerbInstall && x.Number < middle.Number &&
					!x.RequestedAt.Before(all[len(all)-1].RequestedAt) && x.RequestedAt.Before(all[0].RequestedAt)
			},
		},
		"an unknown package": {history.Filter{Package: "nothing"}, func(history.TransactionRow) bool { return false }},
	} {
		t.Run(name, func(t *testing.T) {
			var want []int
			for _, x := range all {
				if c.keep(x) {
					want = append(want, x.Number)
				}
			}
			wantNumbers(t, reader, c.filter, want)
			c.filter.Limit = 3
			wantNumbers(t, reader, c.filter, want[:min(3, len(want))])
		})
	}
}

// touches returns the packages that a transaction requested, planned or changed.
func touches(x *events.Transaction, all []*events.Transaction) map[events.PackageName]bool {
	out := map[events.PackageName]bool{}
	for _, p := range x.Intent.Packages {
		out[p.Name] = true
	}
	for _, c := range x.Plan.Changes {
		out[c.Name] = true
	}
	for _, c := range x.Changes {
		out[c.Name] = true
	}
	for _, target := range all {
		if target.ID == x.Intent.Target { // an undo requests the packages of its target
			for name := range touches(&events.Transaction{Intent: target.Intent}, all) {
				out[name] = true
			}
		}
	}
	return out
}

func wantNumbers(t *testing.T, reader *history.Reader, f history.Filter, want []int) {
	t.Helper()
	found, err := reader.List(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for _, x := range found {
		got = append(got, x.Number)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%+v (-want +got)\n%s", f, diff)
	}
}

func TestShortcutsAgreeWithTheList(t *testing.T) {
	base := t.TempDir()
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		records := projectiontest.History(rt, rapid.IntRange(2, 150).Draw(rt, "facts"))
		_, reader := build(rt, filepath.Join(base, fmt.Sprint(n)), records)
		transactions := fold(rt, records)
		ended := map[events.TransactionID]events.Position{}
		parked := map[events.ID]bool{}
		for _, r := range records {
			switch f, err := events.Decode(r.Event); f := f.(type) {
			case *events.Succeeded, *events.Failed, *events.Interrupted, *events.Observed:
				ended[r.Transaction] = r.Position
			case *events.DeadLettered:
				parked[r.ID] = true
			case *events.DeadLetterRetried:
				delete(parked, f.DeadLetter)
			default:
				if err != nil {
					rt.Fatal(err)
				}
			}
		}
		var undoable, redoable *events.Transaction
		states := map[events.TransactionState]int{}
		for _, x := range transactions {
			states[x.State]++
			pick := &undoable
			if x.Intent.Verb == events.VerbUndo || x.Intent.Verb == events.VerbRollback {
				pick = &redoable
			}
			if x.Undoable() && (*pick == nil || ended[x.ID] > ended[(*pick).ID]) {
				*pick = x
			}
		}
		wantOne(rt, undoable, reader.LastUndoable)
		wantOne(rt, redoable, reader.LastRedoable)
		open, err := reader.HandlerDeadLetters(context.Background())
		if err != nil || len(open) != len(parked) {
			rt.Fatalf("dead letters: %v, %v, not %v", open, err, parked)
		}
		totals, err := reader.Totals(context.Background())
		want := history.TransactionTotals{Transactions: len(transactions), ByState: states, HandlerDeadLetters: len(parked), Position: events.Position(len(records))}
		if diff := cmp.Diff(want, totals); err != nil || diff != "" {
			rt.Fatalf("counts: %v\n%s", err, diff)
		}
	})
}

func wantOne(t projectiontest.TB, want *events.Transaction, ask func(context.Context) (history.TransactionRow, error)) {
	t.Helper()
	got, err := ask(context.Background())
	switch {
	case want == nil && !errors.Is(err, events.ErrNotFound):
		t.Fatalf("got %+v, %v instead of ErrNotFound", got, err)
	case want != nil && (err != nil || got.ID != want.ID):
		t.Fatalf("got %+v, %v instead of %d", got, err, want.Number)
	}
}

func sample(n int) []events.Record {
	x := uint32(7)
	return projectiontest.Generate(func(n int) int { x = x*1664525 + 1013904223; return int(x>>8) % n }, n)
}

func TestReaderOfAnotherVersionNeedsRebuild(t *testing.T) {
	m, reader := build(t, t.TempDir(), sample(50))
	if _, err := reader.List(t.Context(), history.Filter{}); err != nil {
		t.Fatal(err)
	}
	store, err := projectiontest.Open(t.Context(), m.Path())
	if err != nil {
		t.Fatal(err)
	}
	err = store.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `PRAGMA user_version = 99`)
		return err
	})
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
	db, err := projectiontest.OpenReader(m.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	reader = history.NewReader(db)
	for name, ask := range map[string]func() error{
		"list":   func() error { _, err := reader.List(t.Context(), history.Filter{}); return err },
		"show":   func() error { _, err := reader.Show(t.Context(), "last"); return err },
		"parked": func() error { _, err := reader.HandlerDeadLetters(t.Context()); return err },
		"counts": func() error { _, err := reader.Totals(t.Context()); return err },
		"later":  func() error { _, err := reader.LaterOverlapping(t.Context(), "x"); return err },
	} {
		if err := ask(); !projections.NeedsRebuild(err) || events.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
