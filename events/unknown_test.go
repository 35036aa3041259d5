package events_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/events/memlog"
)

// newer is a fact as a newer Cortex appends it.
type newer struct {
	kind events.Kind
	data string
}

// newerChain makes records of one transaction: facts of this version, and newer ones.
func newerChain(t *testing.T, list ...any) []events.Record {
	t.Helper()
	var out []events.Record
	var prev events.Link
	for i, x := range list {
		e := envelope(i+1, events.TransactionSubject(txn))
		e.CortexVersion = "9.1.0"
		switch x := x.(type) {
		case events.Fact:
			var err error
			if e, err = events.NewFactEvent(e, x); err != nil {
				t.Fatal(err)
			}
		case newer:
			e.Kind, e.Data = x.kind, []byte(x.data)
		}
		r := events.Record{Event: e, Position: prev.Position + 1, Prev: prev.Hash}
		r.Hash = events.ChainHash(r.Prev, r.Position, e)
		prev, out = r.Link(), append(out, r)
	}
	return out
}

func foldRecords(records []events.Record) (*events.Transaction, error) {
	t := &events.Transaction{}
	for _, r := range records {
		if err := t.Apply(r); err != nil {
			return t, err
		}
	}
	return t, nil
}

func TestFoldToleratesUnknownEvents(t *testing.T) {
	paused := newer{"transaction.paused.v1", `{"why":"battery"}`}
	noted := newer{"transaction.noted.v1", `{}`}
	for name, tc := range map[string]struct {
		list    []any
		state   events.TransactionState
		unknown int
		blocked bool
	}{
		"unknown kind in the middle":  {[]any{requested, planned, approved, started, paused, step0, step0ok, succeeded}, events.StateSucceeded, 1, true},
		"unknown kind at the end":     {[]any{requested, planned, approved, started, succeeded, noted}, events.StateSucceeded, 1, true},
		"unknown kind only":           {[]any{noted}, events.StateNone, 1, true},
		"later version of the end":    {[]any{requested, planned, approved, started, newer{"transaction.succeeded.v2", `{"changes":{}}`}}, events.StateSucceeded, 1, true},
		"later version of the plan":   {[]any{requested, newer{"transaction.planned.v2", `{}`}, approved, started, step0, step0ok, succeeded}, events.StateSucceeded, 1, true},
		"later version of a step":     {[]any{requested, planned, approved, started, newer{"step.started.v2", `{}`}, step0ok, succeeded}, events.StateSucceeded, 1, true},
		"later version of a request":  {[]any{newer{"install.requested.v2", `{"number":4}`}, planned, cancelled}, events.StateCancelled, 1, true},
		"later version of a memory":   {[]any{requested, planned, approved, started, succeeded, newer{"memory.stated.v2", `{}`}}, events.StateSucceeded, 1, false},
		"unknown kind opens":          {[]any{newer{"mirror.requested.v1", `{"number":4}`}, planned, approved, started, succeeded}, events.StateSucceeded, 1, true},
		"two of them":                 {[]any{requested, noted, planned, paused, cancelled}, events.StateCancelled, 2, true},
		"ended for good":              {[]any{requested, refused, noted, newer{"transaction.started.v2", `{}`}}, events.StateRefused, 2, true},
		"unknown fields, known kinds": {[]any{requested, planned, approved, started, newer{"transaction.succeeded.v1", `{"changes":[],"services":["x"]}`}}, events.StateSucceeded, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := foldRecords(newerChain(t, tc.list...))
			if err != nil {
				t.Fatal(err)
			}
			if got.State != tc.state || len(got.UnknownKinds) != tc.unknown || got.ID != txn {
				t.Errorf("state %s, unknown %v, id %s", got.State, got.UnknownKinds, got.ID)
			}
			u, blocked := got.UndoBlocker()
			if blocked != tc.blocked || blocked && u.CortexVersion != "9.1.0" {
				t.Errorf("blocked %v by %+v", blocked, u)
			}
		})
	}
}

func TestFoldRefusesWhatCannotFollowAnUnknownEvent(t *testing.T) {
	noted := newer{"transaction.noted.v1", `{}`}
	for name, list := range map[string][]any{
		"after the end":         {requested, refused, noted, started},
		"a fact of the machine": {requested, noted, &events.DriftDetected{}},
		"a denied plan":         {requested, &events.Planned{PlanID: samplePlan().ID(), Denial: &events.Denial{Rule: "r"}}, noted, approved},
	} {
		if got, err := foldRecords(newerChain(t, list...)); !errors.Is(err, events.ErrCorrupt) {
			t.Errorf("%s: folded to %s with error %v, want a corrupt error", name, got.State, err)
		}
	}
}

func TestUnknownFieldsOfAnOutcomeAreNoted(t *testing.T) {
	got, err := foldRecords(newerChain(t, requested, planned, approved, started, newer{"transaction.succeeded.v1", `{"changes":[],"services":["x"]}`}))
	if err != nil {
		t.Fatal(err)
	}
	want := []events.UnknownEvent{{Position: 5, Kind: events.KindSucceeded, Field: `"services"`, CortexVersion: "9.1.0"}}
	if diff := cmp.Diff(want, got.UnknownFields); diff != "" {
		t.Error(diff)
	}
	if s := got.UnknownFields[0].String(); s != `event 5 (transaction.succeeded.v1) has the field "services", which this version of Cortex does not know` {
		t.Error(s)
	}
}

func TestTransactionOfAnUnknownRequestHasItsNumber(t *testing.T) {
	records := newerChain(t, newer{"mirror.requested.v1", `{"number":4,"mirror":"x"}`})
	log, err := memlog.Restore(host, records)
	if err != nil {
		t.Fatal(err)
	}
	got, err := events.LoadTransaction(t.Context(), log, txn)
	if err != nil || got.Number != 4 || got.Actor != records[0].Actor {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestUnknownFactCannotBeAppended(t *testing.T) {
	records := newerChain(t, newer{"transaction.noted.v1", `{"a":1}`})
	f, err := events.Decode(records[0].Event)
	if err != nil {
		t.Fatal(err)
	}
	want := &events.UnknownFact{StoredKind: "transaction.noted.v1", Data: []byte(`{"a":1}`), CortexVersion: "9.1.0"}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	if _, err := events.NewFactEvent(envelope(1, events.TransactionSubject(txn)), f); err == nil {
		t.Error("NewFactEvent encoded it")
	}
	if _, err := memlog.New(host).Append(t.Context(), records[0].Event, events.NoExpectation); !errors.Is(err, events.ErrCorrupt) {
		t.Errorf("append: %v, want a corrupt error", err)
	}
}

func TestUndoNeeds(t *testing.T) {
	for kind, want := range map[events.Kind]bool{
		events.KindSucceeded:           true,
		events.KindStepStarted:         false,
		"step.started.v2":              true, // the registry speaks of version 1 only
		events.KindLLMCompleted:        false,
		"llm.completed.v2":             false,
		"transaction.exploded.v1":      true,
		events.KindInstallRequested:    true,
		events.KindApproveRequested:    true, // a request is not a fact
		"machine.adopted.v2":           true,
		"hardware.snapshot.v3":         false,
		events.KindDeadLetterRetried:   false,
		"hardware.exploded.v1":         true,
		"machine.indexes-refreshed.v2": false,
	} {
		if got := events.UndoMayNeed(kind); got != want {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
	r := newerChain(t, newer{"transaction.exploded.v1", `{}`})[0]
	u, ok := events.UndoBlocker(r)
	if !ok {
		t.Fatal("an unknown kind does not block an undo")
	}
	err := u.Error("transaction 7", "undo")
	if text := err.Error(); text != "transaction 7: undo needs Cortex 9.1.0 or newer: event 1 has the kind transaction.exploded.v1, which this version of Cortex does not know" {
		t.Error(text)
	}
	u.CortexVersion = ""
	if text := u.Error("transaction 7", "undo").Error(); !strings.Contains(text, "undo needs a newer Cortex: ") {
		t.Error(text)
	}
	r.Kind = events.KindSucceeded
	if _, ok := events.UndoBlocker(r); ok {
		t.Error("a known kind blocks an undo")
	}
}
