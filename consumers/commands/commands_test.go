package commands_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"cortex/consumers/commands"
	"cortex/consumers/recorder"
	"cortex/consumers/recorder/recordertest"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The users of the tests. Only root may change the machine.
const (
	root   = 0
	daemon = 900
	owner  = 1000
	other  = 1001
)

type bench struct {
	t *testing.T
	*recorder.Recorder
	handler *commands.RequestHandler
	calls   []string // of the functions in the handler's Config
	fail    error    // of these functions
}

func setup(t *testing.T) *bench {
	b := &bench{t: t, Recorder: recordertest.New()}
	b.Recorder.Actor.UID = daemon
	b.restart()
	return b
}

// restart creates the handler of a new daemon.
func (b *bench) restart() {
	call := func(name string) error {
		b.calls = append(b.calls, name)
		return b.fail
	}
	b.handler = commands.New(b.Recorder, recorder.NewSequence(b.Log), commands.Config{
		MayChange:        func(a events.Actor) bool { return a.UID == root },
		RetryDeadLetter:  func(context.Context, *events.DeadLettered) error { return call("retry") },
		SnapshotHardware: func(context.Context, events.Record) error { return call("hardware") },
		HandleLimits:     func(context.Context, events.Record, *events.LimitsRequest) error { return call("limits") },
	})
}

func (b *bench) handle(r events.Record) error { return b.handler.Handle(b.t.Context(), r) }

func (b *bench) request(txn events.TransactionID, uid int, req events.Request) events.Record {
	b.t.Helper()
	return recordertest.Request(b.t, b.Recorder, txn, uid, req)
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) length() events.Position {
	b.t.Helper()
	head, err := b.Log.Head(b.t.Context())
	b.must(err)
	return head.Position
}

var install = &events.TransactionRequest{Intent: events.Intent{Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "cowsay"}}}}

// planned opens a transaction of the owner and plans it.
func (b *bench) planned(denial *events.Denial) *events.Transaction {
	b.t.Helper()
	r := b.request("", owner, install)
	b.must(b.handle(r))
	txn := recordertest.Load(b.t, b.Recorder, r.Transaction)
	plan := events.Plan{}
	recordertest.Continue(b.t, b.Recorder, txn, &events.Planned{PlanID: plan.ID(), Plan: plan, Denial: denial})
	return txn
}

func TestCommandsRecordRequestOnce(t *testing.T) {
	b := setup(t)
	first, second := b.request("", owner, install), b.request("", other, install)
	for _, r := range []events.Record{first, first, second} {
		b.must(b.handle(r))
	}
	b.restart()
	b.must(b.handle(first)) // the acknowledgement was lost
	facts := recordertest.Facts[*events.Requested](t, b.Recorder)
	if len(facts) != 2 || facts[0].Number != 1 || facts[1].Number != 2 {
		t.Fatalf("recorded %v", facts)
	}
	if txn := recordertest.Load(t, b.Recorder, first.Transaction); txn.Actor != first.Actor || txn.Number != 1 {
		t.Errorf("number %d, actor %+v", txn.Number, txn.Actor)
	}
}

func TestCommandsRefuseTransactionWithForeignID(t *testing.T) {
	b := setup(t)
	if err := b.handle(b.request(events.TransactionID(b.NewID()), owner, install)); !errors.Is(err, events.ErrUsage) || b.length() != 0 {
		t.Errorf("%v, %d facts", err, b.length())
	}
}

func TestCommandsApproval(t *testing.T) {
	plan := events.Plan{}
	for name, tc := range map[string]struct {
		uid    int
		plan   events.PlanID
		denial *events.Denial
		state  events.TransactionState
		kind   events.ErrorKind
	}{
		"by root":                        {uid: root, plan: plan.ID(), state: events.StateApproved},
		"by the owner without the right": {uid: owner, plan: plan.ID(), state: events.StatePlanned, kind: events.ErrConfirmation},
		"of another plan":                {uid: root, plan: "0123456789ab", state: events.StatePlanned, kind: events.ErrStale},
		"of a denied plan":               {uid: root, plan: plan.ID(), denial: &events.Denial{Rule: "r", Message: "m"}, state: events.StatePlanned},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			txn := b.planned(tc.denial)
			r := b.request(txn.ID, tc.uid, &events.ApproveRequest{PlanID: tc.plan, How: "prompt"})
			for range 2 {
				err := b.handle(r)
				if tc.kind == "" && err != nil || tc.kind != "" && !errors.Is(err, tc.kind) {
					t.Errorf("got %v, want %q", err, tc.kind)
				}
			}
			got := recordertest.Load(t, b.Recorder, txn.ID)
			if got.State != tc.state {
				t.Errorf("the transaction is %s, want %s", got.State, tc.state)
			}
			if tc.state == events.StateApproved && (got.ApprovedBy != r.Actor || got.ApprovedHow != "prompt") {
				t.Errorf("approved by %+v, %q", got.ApprovedBy, got.ApprovedHow)
			}
		})
	}
}

func TestCommandsLateDecisionChangesNothing(t *testing.T) {
	for name, end := range map[string]events.Fact{
		"cancelled": &events.Cancelled{}, "refused": &events.Refused{}, "denied": &events.Denied{}, "approved": &events.Approved{PlanID: events.Plan{}.ID()},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			txn := b.planned(nil)
			recordertest.Continue(t, b.Recorder, txn, end)
			before := b.length()
			b.must(b.handle(b.request(txn.ID, root, &events.ApproveRequest{PlanID: txn.PlanID})))
			b.must(b.handle(b.request(txn.ID, root, &events.CancelRequest{})))
			if b.length() != before {
				t.Errorf("the log grew from %d to %d", before, b.length())
			}
		})
	}
}

func TestCommandsCancelIsForOwnerAndAdministrator(t *testing.T) {
	for uid, allowed := range map[int]bool{owner: true, root: true, other: false, daemon: false} {
		b := setup(t)
		txn := b.planned(nil)
		err := b.handle(b.request(txn.ID, uid, &events.CancelRequest{Reason: "no"}))
		state := recordertest.Load(t, b.Recorder, txn.ID).State
		if allowed != (err == nil) || allowed != (state == events.StateCancelled) || !allowed && !errors.Is(err, events.ErrConfirmation) {
			t.Errorf("uid %d: %v, the transaction is %s", uid, err, state)
		}
	}
}

// overtaken is a log to which a plan is appended right before the first cancellation.
type overtaken struct {
	events.Log
	plan func()
}

func (l *overtaken) Append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	if plan := l.plan; e.Kind == events.KindCancelled && plan != nil {
		l.plan = nil
		plan()
	}
	return l.Log.Append(ctx, e, x)
}

func TestCommandsCancelAfterPlanThatCameInBetween(t *testing.T) {
	b := setup(t)
	r := b.request("", owner, install)
	b.must(b.handle(r))
	log := &overtaken{Log: b.Log}
	log.plan = func() {
		recordertest.Continue(t, b.Recorder, recordertest.Load(t, b.Recorder, r.Transaction), &events.Planned{PlanID: events.Plan{}.ID()})
	}
	b.Log = log
	b.restart()
	b.must(b.handle(b.request(r.Transaction, owner, &events.CancelRequest{})))
	if txn := recordertest.Load(t, b.Recorder, r.Transaction); txn.State != events.StateCancelled || txn.PlanID == "" {
		t.Errorf("the transaction is %s with plan %q", txn.State, txn.PlanID)
	}
}

func TestCommandsForgetAnswersOnceForDaemonUserAndAdministrator(t *testing.T) {
	for uid, allowed := range map[int]bool{daemon: true, root: true, owner: false} {
		b := setup(t)
		r := b.request("", uid, &events.ForgetAnswersRequest{AnswersForgotten: events.AnswersForgotten{All: true, Reason: "test"}})
		for range 2 {
			if err := b.handle(r); allowed != (err == nil) || !allowed && !errors.Is(err, events.ErrConfirmation) {
				t.Errorf("uid %d: %v", uid, err)
			}
			b.restart()
		}
		facts := recordertest.Facts[*events.AnswersForgotten](t, b.Recorder)
		if want := map[bool]int{true: 1}[allowed]; len(facts) != want {
			t.Errorf("uid %d: %d facts, want %d", uid, len(facts), want)
		}
	}
}

func TestCommandsRetryOfDeadLetter(t *testing.T) {
	b := setup(t)
	subject := events.DeadLetterSubject(b.NewID())
	dead, err := b.Append(t.Context(), recorder.Cause{}, subject, &events.DeadLettered{Handler: "planner"}, events.NoExpectation)
	b.must(err)
	retried := func() int { return len(recordertest.Facts[*events.DeadLetterRetried](t, b.Recorder)) }

	if err := b.handle(b.request("", owner, &events.RetryRequest{DeadLetter: dead.ID})); !errors.Is(err, events.ErrConfirmation) || len(b.calls) != 0 {
		t.Errorf("a user without the right: %v, calls %q", err, b.calls)
	}
	b.must(b.handle(b.request("", root, &events.RetryRequest{DeadLetter: b.NewID()})))
	if len(b.calls) != 0 || retried() != 0 {
		t.Errorf("an unknown dead letter: calls %q, %d facts", b.calls, retried())
	}
	b.fail = errors.New("still broken")
	if err := b.handle(b.request("", root, &events.RetryRequest{DeadLetter: dead.ID})); !errors.Is(err, b.fail) || retried() != 0 {
		t.Errorf("a retry that fails: %v, %d facts", err, retried())
	}
	b.fail = nil
	for range 2 {
		b.must(b.handle(b.request("", root, &events.RetryRequest{DeadLetter: dead.ID})))
	}
	if retried() != 1 {
		t.Errorf("%d facts, want 1", retried())
	}
}

func TestCommandsPassOnHardwareAndLimits(t *testing.T) {
	b := setup(t)
	b.must(b.handle(b.request("", other, &events.HardwareSnapshotRequest{})))
	b.must(b.handle(b.request("", other, &events.LimitsRequest{Revert: &events.LimitsRevert{Unit: "cortex-a-1", Reason: events.RevertAsked}})))
	if len(b.calls) != 2 || b.calls[0] != "hardware" || b.calls[1] != "limits" || b.length() != 0 {
		t.Errorf("calls %q, %d facts", b.calls, b.length())
	}
	bad := b.request("", root, install)
	bad.Data = []byte(`{"verb":"install","packages":[{"name":"cowsay"}],"shell":"rm"}`)
	if err := b.handle(bad); err == nil || b.length() != 0 {
		t.Errorf("a request with an unknown field: %v, %d facts", err, b.length())
	}
}
