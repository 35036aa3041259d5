package consumers_test

import (
	"context"
	"slices"
	"testing"

	"cortex/consumers/commands"
	"cortex/consumers/hwsnapshot"
	"cortex/consumers/recorder"
	"cortex/events"
)

// TestRequestDeliveredAgainRecordsOnce delivers a request of every kind three times,
// the third time in a new process and after another request of its kind, and counts
// the facts that it caused.
func TestRequestDeliveredAgainRecordsOnce(t *testing.T) {
	planned := func(r *pipeline) (events.TransactionID, events.PlanID) {
		id := r.ask("", install("cowsay"), 0)
		r.settle(r.start(t.Context()), 1)
		return id, r.load(id).PlanID
	}
	deadLetter := func(r *pipeline) events.ID {
		rec, err := r.recorder.Append(t.Context(), recorder.Cause{}, events.DeadLetterSubject(r.id()), &events.DeadLettered{Handler: "planner", Stream: "s", Attempts: 1}, events.NoExpectation)
		if err != nil {
			t.Fatal(err)
		}
		return rec.ID
	}
	// each row makes one request after what must precede it; nil rows have a test of
	// their own, which is named
	rows := map[events.Kind]func(r *pipeline) (events.TransactionID, events.Request){
		events.RequestedKind(events.VerbInstall): func(*pipeline) (events.TransactionID, events.Request) { return "", install("cowsay") },
		events.KindApproveRequested: func(r *pipeline) (events.TransactionID, events.Request) {
			id, plan := planned(r)
			return id, &events.ApproveRequest{PlanID: plan, How: "test"}
		},
		events.KindCancelRequested: func(r *pipeline) (events.TransactionID, events.Request) {
			id, _ := planned(r)
			return id, &events.CancelRequest{Reason: "test"}
		},
		events.KindRetryRequested: func(r *pipeline) (events.TransactionID, events.Request) {
			return "", &events.RetryRequest{DeadLetter: deadLetter(r)}
		},
		events.KindForgetAnswersRequested: func(r *pipeline) (events.TransactionID, events.Request) {
			return "", &events.ForgetAnswersRequest{AnswersForgotten: events.AnswersForgotten{Answers: []events.ID{r.id()}, Reason: "test"}}
		},
		events.KindHardwareSnapshotRequested: func(*pipeline) (events.TransactionID, events.Request) {
			return "", &events.HardwareSnapshotRequest{}
		},
		events.KindLimitsRequested: nil, // TestAppliedIsRecordedAfterTheEffectAndOnce
	}
	for _, k := range events.RequestKinds() {
		row, ok := rows[k]
		switch {
		case !ok && slices.ContainsFunc(events.Verbs, func(v events.Verb) bool { return k == events.RequestedKind(v) }):
			continue // every verb takes the path of install
		case !ok:
			t.Errorf("%s has no row", k)
			continue
		case row == nil:
			continue
		}
		t.Run(string(k), func(t *testing.T) {
			r := setup(t)
			deliver := func(rec events.Record) {
				t.Helper()
				if err := newCommands(r).Handle(t.Context(), rec); err != nil {
					t.Fatal(err)
				}
			}
			one := r.request(row(r))
			for range 2 {
				deliver(one)
			}
			other := r.request(row(r))
			deliver(other)
			deliver(one)
			for name, rec := range map[string]events.Record{"the request": one, "another one": other} {
				if n := r.causedBy(rec.ID); n != 1 {
					t.Errorf("%s caused %d facts, want 1", name, n)
				}
			}
		})
	}
}

func newCommands(r *pipeline) *commands.RequestHandler {
	hardware := hwsnapshot.New(r.recorder, func(context.Context, events.HardwareSnapshotReason) (*events.HardwareSnapshot, error) {
		return &events.HardwareSnapshot{Reason: events.HardwareSnapshotOnRequest, StableHash: "00", BootID: "b"}, nil
	})
	return commands.New(r.recorder, recorder.NewSequence(r.log), commands.Config{
		MayChange:        func(a events.Actor) bool { return a.UID == 0 },
		RetryDeadLetter:  func(context.Context, *events.DeadLettered) error { return nil },
		SnapshotHardware: hardware.RecordOnRequest,
	})
}

// request makes a request without queueing it.
func (r *pipeline) request(txn events.TransactionID, req events.Request) events.Record {
	r.ask(txn, req, 0)
	rec := r.requests[len(r.requests)-1]
	r.requests = r.requests[:len(r.requests)-1]
	return rec
}

// causedBy counts the facts that an event caused.
func (r *pipeline) causedBy(id events.ID) int {
	r.t.Helper()
	n := 0
	for rec, err := range r.log.Read(r.t.Context(), events.Query{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		if rec.Causation == id {
			n++
		}
	}
	return n
}
