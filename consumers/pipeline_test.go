package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cortex/consumers"
	"cortex/consumers/commands"
	"cortex/consumers/executor"
	"cortex/consumers/external"
	"cortex/consumers/inventory"
	"cortex/consumers/machine/blobstore"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/machine/fakeapt"
	"cortex/consumers/planner"
	"cortex/consumers/policy"
	"cortex/consumers/policy/cel"
	"cortex/consumers/recorder"
	"cortex/consumers/recovery"
	"cortex/consumers/undo"
	"cortex/events"
	"cortex/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = events.HostID("01940000-0000-7000-8000-000000000001")

// pipeline is every handler over a log in memory and a package manager in memory. A
// test delivers the messages itself, as often and in as many processes as it needs.
type pipeline struct {
	t        *testing.T
	log      *memlog.Log
	machine  *fakeapt.Fake
	recorder *recorder.Recorder
	rules    *cel.Rules

	mu       sync.Mutex
	n        int
	requests []events.Record
	progress []events.Progress
}

func setup(t *testing.T) *pipeline {
	r := &pipeline{t: t, log: memlog.New(host), machine: fakeapt.New(), rules: cel.New(t.TempDir(), os.Getuid(), policy.Invariants{})}
	r.recorder = &recorder.Recorder{
		Log: r.log, Actor: events.Actor{Program: "cortexd"}, NewID: r.id,
		Now: func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) },
	}
	r.start(t.Context())
	return r
}

func (r *pipeline) id() events.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	return events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", r.n))
}

func (r *pipeline) addProgress(p events.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.progress = append(r.progress, p)
}

// start returns the handlers of a new daemon, after its recovery ran.
func (r *pipeline) start(ctx context.Context) []consumers.Handler {
	l := inventory.New(r.log)
	v, err := blobstore.Open(r.t.TempDir())
	if err != nil {
		r.t.Fatal(err)
	}
	k := confstate.New(r.t.TempDir(), v, r.machine)
	rc := recovery.New(r.recorder, l, r.machine, k, external.New(r.recorder, recorder.NewSequence(r.log), l, v, k, external.Config{SpoolDir: r.t.TempDir(), Logger: slog.New(slog.DiscardHandler)}))
	if err := rc.Run(ctx); err != nil {
		r.t.Fatal(err)
	}
	p := planner.New(r.recorder, r.machine, k, v, r.rules, planner.Config{OnProgress: r.addProgress})
	return consumers.Handlers(host, consumers.HandleFuncs{
		Commands:    commands.New(r.recorder, recorder.NewSequence(r.log), commands.Config{MayChange: func(a events.Actor) bool { return a.UID == 0 }}).Handle,
		Planner:     p.Handle,
		Executor:    executor.New(r.recorder, r.machine, k, v, p, r.rules, rc, executor.Config{MayRun: true, OnProgress: r.addProgress}).Handle,
		Compensator: undo.NewCompensator(r.recorder, l).Handle,
	})
}

// ask queues a request.
func (r *pipeline) ask(txn events.TransactionID, req events.Request, uid int) events.TransactionID {
	r.t.Helper()
	id := r.id()
	if txn == "" {
		txn = events.TransactionID(id)
	}
	e, err := events.NewRequestEvent(events.Event{
		ID: id, Host: host, Subject: events.TransactionSubject(txn), Time: time.Unix(1, 0), Transaction: txn,
		Correlation: events.ID(txn), Actor: events.Actor{UID: uid, Program: "cortex"},
	}, req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.requests = append(r.requests, events.Record{Event: e})
	return txn
}

// settle delivers every request and every fact a number of times, until no new fact
// appears.
func (r *pipeline) settle(handlers []consumers.Handler, times int) {
	r.t.Helper()
	ctx := r.t.Context()
	deliver := func(subject string, rec events.Record) {
		for _, h := range handlers {
			if !events.MatchFilter(h.Filter, subject) {
				continue
			}
			for range times {
				if err := h.Handle(ctx, rec); err != nil {
					r.t.Fatalf("%s: %v", h.Name, err)
				}
			}
		}
	}
	for _, rec := range r.requests {
		deliver(events.RequestSubject(rec.Event), rec)
		var at events.Position
		for more := true; more; {
			more = false
			for rec, err := range r.log.Read(ctx, events.Query{After: at}) {
				if err != nil {
					r.t.Fatal(err)
				}
				at, more = rec.Position, true
				deliver(events.FactSubject(rec.Event), rec)
			}
		}
	}
}

func (r *pipeline) load(id events.TransactionID) *events.Transaction {
	r.t.Helper()
	t, err := events.LoadTransaction(r.t.Context(), r.log, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

func install(names ...events.PackageName) *events.TransactionRequest {
	in := events.Intent{Verb: events.VerbInstall}
	for _, n := range names {
		in.Packages = append(in.Packages, events.PackageRef{Name: n})
	}
	return &events.TransactionRequest{Intent: in}
}

// do requests a transaction, approves its plan, and settles.
func (r *pipeline) do(req events.Request, times int) *events.Transaction {
	r.t.Helper()
	id := r.ask("", req, 0)
	r.settle(r.start(r.t.Context()), times)
	if t := r.load(id); t.State == events.StatePlanned {
		r.ask(id, &events.ApproveRequest{PlanID: t.PlanID, How: "test"}, 0)
		r.settle(r.start(r.t.Context()), times)
	}
	return r.load(id)
}

func TestHandlerNamesAndFiltersAreDurable(t *testing.T) {
	r := setup(t)
	var got []string
	for _, h := range r.start(t.Context()) {
		got = append(got, h.Name+" "+strings.ReplaceAll(h.Filter, string(host), "HOST"))
	}
	want := []string{
		"intake cortex.req.HOST.>",
		"planner cortex.evt.HOST.txn.*.*.requested",
		"executor cortex.evt.HOST.*.*.transaction.approved",
		"compensator-succeeded cortex.evt.HOST.*.*.transaction.succeeded",
		"compensator-interrupted cortex.evt.HOST.*.*.transaction.interrupted",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("these names are stored in the broker and never change (-want +got):\n%s", diff)
	}
}

func TestRedeliveryRunsEachStepOnce(t *testing.T) {
	r := setup(t)
	before, err := r.machine.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done := r.do(install("cowsay", "sl"), 3)
	if done.State != events.StateSucceeded || len(done.Changes) != 2 {
		t.Fatalf("%s with %d changes, failure %v", done.State, len(done.Changes), done.Failure)
	}
	undo := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbUndo, Target: done.ID}}, 3)
	if undo.State != events.StateSucceeded {
		t.Fatalf("undo: %s, %v", undo.State, undo.Failure)
	}
	if t1 := r.load(done.ID); !t1.Exact || t1.CompensatedBy != undo.ID {
		t.Errorf("not compensated exactly: %+v", t1.Residue)
	}
	redo := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbRedo, Target: undo.ID}}, 3)
	if redo.State != events.StateSucceeded || len(redo.Changes) != 2 {
		t.Errorf("redo: %s, %v", redo.State, redo.Failure)
	}
	for label, n := range r.machine.Runs() {
		if n != 1 {
			t.Errorf("step %s ran %d times", label, n)
		}
	}
	undone := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbUndo, Target: redo.ID}}, 3)
	after, err := r.machine.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" || undone.State != events.StateSucceeded {
		t.Errorf("not as before (-before +after):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		req  events.Request
		prep func(*pipeline)
		kind events.ErrorKind
	}{
		"an unknown package": {install("cowsya"), nil, events.ErrNotFound},
		"a held package": {install("toy-app"), func(r *pipeline) {
			held := fakeapt.Installed("1.0")
			held.Want = events.WantHold
			r.machine.SetState("toy-app", held)
		}, events.ErrConfirmation},
		"undo of what never was": {&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbUndo, Target: "01940000-0000-7000-8000-ffffffffffff"}}, nil, events.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			r := setup(t)
			if tc.prep != nil {
				tc.prep(r)
			}
			got := r.do(tc.req, 1)
			if got.State != events.StateRefused || got.Failure.Kind != tc.kind {
				t.Errorf("%s with %+v, want refused as %s", got.State, got.Failure, tc.kind)
			}
			if len(r.machine.Runs()) != 0 {
				t.Error("a step ran")
			}
		})
	}
}

// settle fails if a handler fails, and a message that fails becomes a dead letter.
func TestRetryOfUnknownDeadLetterIsIgnored(t *testing.T) {
	r := setup(t)
	before, err := r.log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.ask("", &events.RetryRequest{DeadLetter: "01940000-0000-7000-8000-ffffffffffff"}, 0)
	r.settle(r.start(t.Context()), 2)
	if after, err := r.log.Head(t.Context()); err != nil || after != before {
		t.Errorf("the log grew from %d to %d, %v", before.Position, after.Position, err)
	}
}

func TestStalePlanIsRefused(t *testing.T) {
	r := setup(t)
	id := r.ask("", install("toy-app"), 0)
	r.settle(r.start(t.Context()), 1)
	r.machine.SetState("toy-app", fakeapt.Installed("1.0"))
	r.ask(id, &events.ApproveRequest{PlanID: r.load(id).PlanID, How: "test"}, 0)
	r.settle(r.start(t.Context()), 1)
	if got := r.load(id); got.State != events.StateRefused || got.Failure.Kind != events.ErrStale || len(r.machine.Runs()) != 0 {
		t.Errorf("%s, %+v, runs %v", got.State, got.Failure, r.machine.Runs())
	}
}

func TestApprovalNeedsPermission(t *testing.T) {
	r := setup(t)
	id := r.ask("", install("cowsay"), 1000)
	handlers := r.start(t.Context())
	r.settle(handlers, 1)
	r.ask(id, &events.ApproveRequest{PlanID: r.load(id).PlanID, How: "yes-flag"}, 1000)
	last := r.requests[len(r.requests)-1]
	if err := handlers[0].Handle(t.Context(), last); !errors.Is(err, events.ErrConfirmation) {
		t.Errorf("an approval by uid 1000: %v", err)
	}
	r.requests = r.requests[:len(r.requests)-1]
	r.ask(id, &events.ApproveRequest{PlanID: "000000000000", How: "yes-flag"}, 0)
	if err := handlers[0].Handle(t.Context(), r.requests[len(r.requests)-1]); !errors.Is(err, events.ErrStale) {
		t.Errorf("an approval of another plan: %v", err)
	}
	if got := r.load(id); got.State != events.StatePlanned {
		t.Errorf("it became %s", got.State)
	}
}

func TestFailedStepRecordsChanges(t *testing.T) {
	r := setup(t)
	r.machine.FailInstall("sl")
	done := r.do(install("cowsay", "sl"), 3)
	if done.State != events.StateFailed || len(done.Changes) != 2 || done.Failure.Kind != events.ErrApt || done.Steps[0].ExitCode != 100 {
		t.Fatalf("%s, %d changes, %+v", done.State, len(done.Changes), done.Failure)
	}
	undo := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbUndo, Target: done.ID}}, 1)
	if undo.State != events.StateSucceeded || !r.load(done.ID).Exact {
		t.Errorf("undo: %s, %+v, residue %q", undo.State, undo.Failure, r.load(done.ID).Residue)
	}
}

func TestRecoveryAfterDaemonDiesInStep(t *testing.T) {
	r := setup(t)
	id := r.ask("", install("cowsay"), 0)
	handlers := r.start(t.Context())
	r.settle(handlers, 1)
	entered, release := r.machine.BlockSteps()
	defer release()
	r.ask(id, &events.ApproveRequest{PlanID: r.load(id).PlanID, How: "test"}, 0)

	dying, die := context.WithCancel(t.Context())
	ended := make(chan error)
	if err := handlers[0].Handle(dying, r.requests[len(r.requests)-1]); err != nil {
		t.Fatal(err)
	}
	approval, _, err := r.log.Last(t.Context(), events.KindFilter(host, events.KindApproved))
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- handlers[2].Handle(dying, approval) }()
	<-entered
	die()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("the executor that was stopped returned %v", err)
	}
	if got := r.load(id); got.State != events.StateRunning {
		t.Fatalf("it is %s", got.State)
	}
	r.machine.SetState("cowsay", fakeapt.Installed("1.0")) // apt went on without us
	r.settle(r.start(t.Context()), 3)
	got := r.load(id)
	if got.State != events.StateInterrupted || len(got.Changes) != 1 || !got.Undoable() {
		t.Errorf("%s with %v", got.State, got.Changes)
	}
	for label, n := range r.machine.Runs() {
		if n != 1 {
			t.Errorf("step %s ran %d times", label, n)
		}
	}
}

func TestUndoConflictsWithLaterTransaction(t *testing.T) {
	r := setup(t)
	first := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "toy-app", Version: "1.0"}}}}, 1)
	second := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbUpgrade, Packages: []events.PackageRef{{Name: "toy-app"}}}}, 1)
	refused := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbUndo, Target: first.ID}}, 1)
	if refused.State != events.StateRefused || refused.Failure.Kind != events.ErrConflict || !strings.Contains(refused.Failure.Message, "transaction 2") {
		t.Errorf("%s, %+v; want a conflict that names transaction 2", refused.State, refused.Failure)
	}
	for _, id := range []events.TransactionID{second.ID, first.ID} {
		if undo := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbUndo, Target: id}}, 1); undo.State != events.StateSucceeded {
			t.Errorf("undo of %s: %s, %+v", id, undo.State, undo.Failure)
		}
	}
	again := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbUndo, Target: first.ID}}, 1)
	if again.State != events.StateRefused {
		t.Errorf("a second undo of the same: %s", again.State)
	}
}

func TestDriftIsRecordedBeforeTransaction(t *testing.T) {
	r := setup(t)
	r.machine.SetState("toy-lib", fakeapt.Installed("1.0"))
	done := r.do(install("cowsay"), 1)
	drift, ok, err := r.log.Last(t.Context(), events.KindFilter(host, events.KindDriftDetected))
	if err != nil || !ok || drift.Position > done.LastPosition {
		t.Fatalf("no drift before the transaction: %v, %v", ok, err)
	}
	if len(done.Changes) != 1 || done.Changes[0].Name != "cowsay" {
		t.Errorf("the transaction claims %v", done.Changes)
	}
}

// Random histories with undos in between: the tracked inventory always equals the
// machine's, and an undo of everything, newest first, ends in the first state.
func TestUndoOfRandomHistoryIsExact(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			r := setup(t)
			r.machine.SetState("toy-lib", fakeapt.Installed("1.0"))
			r.settle(r.start(t.Context()), 1)
			before, err := r.machine.Inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var done []events.TransactionID
			for range 6 {
				verb := []events.Verb{events.VerbInstall, events.VerbRemove, events.VerbPurge, events.VerbUpgrade, events.VerbHold, events.VerbUnhold}[rnd.IntN(6)]
				name := []events.PackageName{"cowsay", "sl", "toy-app", "toy-lib"}[rnd.IntN(4)]
				in := events.Intent{Verb: verb, Packages: []events.PackageRef{{Name: name}}, Options: events.Options{AllowHeld: true}}
				if got := r.do(&events.TransactionRequest{Intent: in}, 1); got.Undoable() {
					done = append(done, got.ID)
				}
			}
			exact := true
			for i := len(done) - 1; i >= 0; i-- {
				undo := r.do(&events.TransactionRequest{Intent: events.Intent{Verb: events.VerbUndo, Target: done[i], Options: events.Options{AllowHeld: true}}}, 1)
				undone := r.load(done[i])
				exact = exact && undone.Exact
				if undo.State != events.StateSucceeded && undo.State != events.StateRefused {
					t.Fatalf("undo: %s %+v", undo.State, undo.Failure)
				}
			}
			after, err := r.machine.Inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, after); exact && diff != "" {
				t.Errorf("every undo was recorded as exact, but (-before +after):\n%s", diff)
			}
		})
	}
}
