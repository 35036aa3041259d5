package consumers_test

import (
	"slices"
	"strings"
	"testing"

	"cortex/consumers/machine/blobstore"
	"cortex/consumers/retention"
	"cortex/events"
	"cortex/events/memlog"
)

// newerCortex lets a newer Cortex append an event to the road's log.
func (r *pipeline) newerCortex(s events.Subject, kind events.Kind, data string) events.Position {
	r.t.Helper()
	var txn events.TransactionID
	if s.Noun == "txn" {
		txn = events.TransactionID(s.ID)
	}
	return r.rewrite(func(records []events.Record) []events.Record {
		return append(records, events.Record{Event: events.Event{
			ID: r.id(), Kind: kind, Host: host, Subject: s, Time: r.recorder.Now(), Transaction: txn,
			Actor: events.Actor{Program: "cortexd"}, CortexVersion: "9.1.0", Data: []byte(data),
		}})
	})
}

// rewrite replaces the log by one with other records, whose chain it computes.
func (r *pipeline) rewrite(change func([]events.Record) []events.Record) events.Position {
	r.t.Helper()
	var records []events.Record
	for rec, err := range r.log.Read(r.t.Context(), events.Query{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		records = append(records, rec)
	}
	records = change(slices.Clone(records))
	var prev events.Link
	for i := range records {
		records[i].Position, records[i].Prev = prev.Position+1, prev.Hash
		records[i].Hash = events.ChainHash(records[i].Prev, records[i].Position, records[i].Event)
		prev = records[i].Link()
	}
	log, err := memlog.Restore(host, records)
	if err != nil {
		r.t.Fatal(err)
	}
	r.log, r.recorder.Log = log, log
	return prev.Position
}

func wantRefusal(t *testing.T, got *events.Transaction, parts ...string) {
	t.Helper()
	if got.State != events.StateRefused || got.Failure == nil {
		t.Fatalf("%s, %+v; want a refusal", got.State, got.Failure)
	}
	for _, part := range parts {
		if !strings.Contains(got.Failure.Message+"\n"+got.Failure.Hint, part) {
			t.Errorf("%q lacks %q", got.Failure.Message+"\n"+got.Failure.Hint, part)
		}
	}
}

func revert(v events.Verb, id events.TransactionID) *events.TransactionRequest {
	return &events.TransactionRequest{Intent: events.Intent{Verb: v, Target: id}}
}

func TestUndoOfAnUnknownKindIsRefused(t *testing.T) {
	for name, kind := range map[string]events.Kind{"kind": "transaction.restarted-services.v1", "version": "step.succeeded.v2"} {
		t.Run(name, func(t *testing.T) {
			r := setup(t)
			done := r.do(install("cowsay"), 1)
			other := r.do(install("toy-app"), 1)
			r.newerCortex(events.TransactionSubject(done.ID), kind, `{"services":["x"]}`)
			wantRefusal(t, r.do(revert(events.VerbUndo, done.ID), 1), "undo needs Cortex 9.1.0 or newer", string(kind), "nothing was changed")
			rollback := &events.TransactionRequest{Intent: events.Intent{Verb: events.VerbRollback, RollbackTo: 1}}
			wantRefusal(t, r.do(rollback, 1), "rollback needs Cortex 9.1.0 or newer", string(kind))
			if undo := r.do(revert(events.VerbUndo, other.ID), 1); undo.State != events.StateSucceeded {
				t.Errorf("undo of another transaction: %s, %+v", undo.State, undo.Failure)
			}
		})
	}
}

func TestUndoOfALaterVersionOfTheOutcomeIsRefused(t *testing.T) {
	r := setup(t)
	done := r.do(install("cowsay"), 1)
	r.rewrite(func(records []events.Record) []events.Record {
		for i := range records {
			if records[i].Kind == events.KindSucceeded {
				records[i].Kind, records[i].Data = "transaction.succeeded.v2", []byte(`{"differences":{}}`)
			}
		}
		return records
	})
	wantRefusal(t, r.do(revert(events.VerbUndo, done.ID), 1), "undo needs a newer Cortex", "transaction.succeeded.v2")
}

func TestRedoOfAnUnknownKindIsRefused(t *testing.T) {
	r := setup(t)
	done := r.do(install("cowsay"), 1)
	undo := r.do(revert(events.VerbUndo, done.ID), 1)
	r.newerCortex(events.TransactionSubject(undo.ID), "transaction.noted.v1", `{}`)
	wantRefusal(t, r.do(revert(events.VerbRedo, undo.ID), 1), "redo needs Cortex 9.1.0 or newer")
}

func TestRollbackOverAnUnknownEventOfTheMachineIsRefused(t *testing.T) {
	r := setup(t)
	r.do(install("cowsay"), 1)
	rollback := &events.TransactionRequest{Intent: events.Intent{Verb: events.VerbRollback, RollbackTo: 1}}
	at := r.newerCortex(events.MachineSubject(host), "machine.drifted.v2", `{}`)
	wantRefusal(t, r.do(rollback, 1), "rollback needs Cortex 9.1.0 or newer")
	rollback.RollbackTo = at
	if got := r.do(rollback, 1); got.Failure != nil && strings.Contains(got.Failure.Message, "9.1.0") {
		t.Errorf("an event before the position blocks the rollback: %s", got.Failure.Message)
	}
}

// TestNeverNeededKindDoesNotBlockRollback: no version of a kind that the
// registry calls never needed is in the way.
func TestNeverNeededKindDoesNotBlockRollback(t *testing.T) {
	r := setup(t)
	r.do(install("cowsay"), 1)
	r.newerCortex(events.MachineSubject(host), "llm.completed.v2", `{}`)
	if got := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbRollback, RollbackTo: 1}}, 1); got.State != events.StateSucceeded {
		t.Errorf("%s, %+v", got.State, got.Failure)
	}
}

func TestUndoWithAnUnknownFieldIsNotExact(t *testing.T) {
	for _, field := range []string{"", `,"services":["x"]`} {
		r := setup(t)
		done := r.do(install("cowsay"), 1)
		r.rewrite(func(records []events.Record) []events.Record {
			for i := range records {
				if data := string(records[i].Data); records[i].Kind == events.KindSucceeded {
					records[i].Data = []byte(strings.TrimSuffix(data, "}") + field + "}")
				}
			}
			return records
		})
		undo := r.do(revert(events.VerbUndo, done.ID), 1)
		if undo.State != events.StateSucceeded {
			t.Fatalf("%s, %+v", undo.State, undo.Failure)
		}
		undone := r.load(done.ID)
		if undone.CompensatedBy != undo.ID || undone.Exact != (field == "") {
			t.Errorf("with %q: exact %v, residue %v", field, undone.Exact, undone.Residue)
		}
		if text := strings.Join(undone.Residue, "\n"); strings.Contains(text, `the field "services"`) != (field != "") {
			t.Errorf("with %q: residue %v", field, undone.Residue)
		}
	}
}

func TestTransactionWithAnUnknownKindDoesNotStart(t *testing.T) {
	r := setup(t)
	id := r.ask("", install("cowsay"), 0)
	r.settle(r.start(t.Context()), 1)
	planned := r.load(id)
	r.newerCortex(events.TransactionSubject(id), "transaction.deferred.v1", `{}`)
	r.ask(id, &events.ApproveRequest{PlanID: planned.PlanID, How: "test"}, 0)
	r.settle(r.start(t.Context()), 1)
	wantRefusal(t, r.load(id), "needs Cortex 9.1.0 or newer")
}

func TestNumbersContinueAfterAnUnknownRequest(t *testing.T) {
	r := setup(t)
	r.do(install("cowsay"), 1)
	id := r.id()
	r.newerCortex(events.TransactionSubject(events.TransactionID(id)), "mirror.requested.v1", `{"number":2}`)
	if next := r.do(install("toy-app"), 1); next.Number != 3 || next.State != events.StateSucceeded {
		t.Errorf("transaction %d: %s, %+v", next.Number, next.State, next.Failure)
	}
}

func TestGarbageCollectionWithAnUnknownKindIsRefused(t *testing.T) {
	r := setup(t)
	done := r.do(install("cowsay"), 1)
	v, err := blobstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	collect := func() error {
		_, err := retention.New(r.recorder, v, r.machine).Collect(t.Context(), done.RequestedAt)
		return err
	}
	if err := collect(); err != nil {
		t.Fatal(err)
	}
	r.newerCortex(events.TransactionSubject(done.ID), "transaction.archived.v1", `{}`)
	if err := collect(); err == nil || !strings.Contains(err.Error(), "needs Cortex 9.1.0 or newer") {
		t.Errorf("got %v", err)
	}
}
