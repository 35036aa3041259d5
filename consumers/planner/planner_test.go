package planner_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cortex/consumers/machine/blobstore"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/machine/fakeapt"
	"cortex/consumers/planner"
	"cortex/consumers/policy"
	"cortex/consumers/recorder"
	"cortex/consumers/recorder/recordertest"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a planner over a machine in memory.
type bench struct {
	t *testing.T
	*recorder.Recorder
	*fakeapt.Fake
	planner     *planner.Planner
	denial      *events.Denial
	emptyLists  bool
	refreshed   int
	refreshErr  error
	simulations int
}

func setup(t *testing.T) *bench {
	b := &bench{t: t, Recorder: recordertest.New(), Fake: fakeapt.New()}
	blobs, err := blobstore.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b.planner = planner.New(b.Recorder, b, confstate.New(t.TempDir(), blobs, b), blobs, b, planner.Config{MayRefresh: true, OnProgress: func(events.Progress) {}})
	return b
}

func (b *bench) Simulate(ctx context.Context, steps []events.Step) (events.Plan, error) {
	b.simulations++
	return b.Fake.Simulate(ctx, steps)
}

func (b *bench) ListsEmpty() bool { return b.emptyLists }

func (b *bench) Refresh(context.Context, func(events.Progress)) error {
	b.refreshed++
	return b.refreshErr
}

func (b *bench) Evaluate(policy.Input) (policy.Decision, string) { return b.denial, "rules" }

// request opens a transaction of a user.
func (b *bench) request(uid int, in events.Intent) events.Record {
	b.t.Helper()
	s := *b.Recorder
	s.Actor.UID = uid
	_, r := recordertest.Transaction(b.t, &s, &events.Requested{Number: 1, Intent: in})
	return r
}

// handle delivers a request and returns the transaction afterwards.
func (b *bench) handle(r events.Record) *events.Transaction {
	b.t.Helper()
	if err := b.planner.Handle(b.t.Context(), r); err != nil {
		b.t.Fatal(err)
	}
	return recordertest.Load(b.t, b.Recorder, r.Transaction)
}

func refs(names ...string) (out []events.PackageRef) {
	for _, n := range names {
		name, version, _ := strings.Cut(n, "=")
		out = append(out, events.PackageRef{Name: events.PackageName(name), Version: events.Version(version)})
	}
	return out
}

func install(names ...string) events.Intent {
	return events.Intent{Verb: events.VerbInstall, Packages: refs(names...)}
}

func TestPlannerRecordsPlanOnce(t *testing.T) {
	b := setup(t)
	r := b.request(1000, install("cowsay", "toy-app=1.0"))
	for range 3 {
		got := b.handle(r)
		if got.State != events.StatePlanned || got.PlanID != got.Plan.ID() || len(got.Plan.Changes) != 2 || got.InventoryHash != (events.Inventory{}).Hash() {
			t.Fatalf("%s, %+v, %+v", got.State, got.Plan, got.Failure)
		}
	}
	if b.simulations != 1 || len(b.Runs()) != 0 || b.refreshed != 0 {
		t.Errorf("%d simulations, runs %v, lists fetched %d times", b.simulations, b.Runs(), b.refreshed)
	}
}

func TestPlannerRecordsDenialWithPlan(t *testing.T) {
	b := setup(t)
	b.denial = &events.Denial{Rule: "no-cows", Message: "no cows"}
	got := b.handle(b.request(1000, install("cowsay")))
	planned := recordertest.Facts[*events.Planned](t, b.Recorder)
	if got.State != events.StateDenied || got.Failure.Subject != "no-cows" || len(planned) != 1 || planned[0].Denial == nil || planned[0].PolicyVersion != "rules" {
		t.Errorf("%s, %+v, %+v", got.State, got.Failure, planned)
	}
}

func TestPlannerRefusesWithReasonAndHint(t *testing.T) {
	held := fakeapt.Installed("1.0")
	held.Want = events.WantHold
	for name, tc := range map[string]struct {
		in   events.Intent
		kind events.ErrorKind
	}{
		"an unknown package":           {install("cowsya"), events.ErrNotFound},
		"an unknown version":           {install("cowsay=9"), events.ErrNotFound},
		"a package on hold":            {install("toy-app"), events.ErrConfirmation},
		"the import of a gone version": {events.Intent{Verb: events.VerbImport, Manifest: &events.Manifest{Packages: refs("sl=0.1")}}, events.ErrNotFound},
		"the undo of nothing":          {events.Intent{Verb: events.VerbUndo, Target: "01940000-0000-7000-8000-ffffffffffff"}, events.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.SetState("toy-app", held)
			got := b.handle(b.request(0, tc.in))
			if got.State != events.StateRefused || got.Failure.Kind != tc.kind || got.Failure.Hint == "" {
				t.Errorf("%s, %+v; want %s with a hint", got.State, got.Failure, tc.kind)
			}
		})
	}
}

func TestPlannerStoppedRecordsNoRefusal(t *testing.T) {
	b := setup(t)
	r := b.request(0, install("cowsya"))
	ctx, cancel := context.WithCancel(t.Context())
	b.emptyLists, b.refreshErr = true, context.Canceled
	cancel()
	if err := b.planner.Handle(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := recordertest.Load(t, b.Recorder, r.Transaction); got.State != events.StateRequested {
		t.Errorf("the transaction is %s", got.State)
	}
}

func TestPlannerFetchesListsWhenEmptyOrForRoot(t *testing.T) {
	importing := func(refresh bool) events.Intent {
		return events.Intent{Verb: events.VerbImport, Manifest: &events.Manifest{Packages: refs("sl")}, Options: events.Options{Refresh: refresh}}
	}
	for name, tc := range map[string]struct {
		uid     int
		in      events.Intent
		empty   bool
		fetched int
	}{
		"lists are there":         {0, importing(false), false, 0},
		"lists are empty":         {1000, importing(false), true, 1},
		"root asks":               {0, importing(true), false, 1},
		"a user asks":             {1000, importing(true), false, 0},
		"a user asks; none there": {1000, importing(true), true, 1},
	} {
		b := setup(t)
		b.emptyLists = tc.empty
		got := b.handle(b.request(tc.uid, tc.in))
		facts := recordertest.Facts[*events.IndexesRefreshed](t, b.Recorder)
		if b.refreshed != tc.fetched || len(facts) != tc.fetched || got.State != events.StatePlanned {
			t.Errorf("%s: fetched %d times, %d facts, %s", name, b.refreshed, len(facts), got.State)
		}
	}
}

func TestPlannerReplanIsForTheSameTransactionAndMachine(t *testing.T) {
	b := setup(t)
	first := b.handle(b.request(0, install("cowsay")))
	second := b.handle(b.request(0, install("sl")))
	replan := func(txn *events.Transaction, simulates bool) events.PlanID {
		t.Helper()
		before := b.simulations
		plan, hash, err := b.planner.Replan(t.Context(), txn)
		if now, _ := b.Inventory(t.Context()); err != nil || hash != now.Hash() || (b.simulations > before) != simulates {
			t.Errorf("%v, inventory %s, %d simulations", err, hash, b.simulations-before)
		}
		return plan.ID()
	}
	if got := replan(second, false); got != second.PlanID {
		t.Errorf("the newest plan is %s, was %s", got, second.PlanID)
	}
	if got := replan(first, true); got != first.PlanID {
		t.Errorf("the plan of the older transaction is %s, was %s", got, first.PlanID)
	}
	b.SetState("sl", fakeapt.Installed("1.0"))
	if got := replan(second, true); got == second.PlanID {
		t.Error("the plan is unchanged although the machine changed")
	}
	b.SetState("sl", events.State{})
	b.Offer("sl", "1.0", "2.0")
	if got := replan(second, true); got == second.PlanID {
		t.Error("the plan is unchanged although the offered versions changed")
	}
}

// steps writes steps in short form: "install sl=1.0 toy-app".
func steps(plan events.Plan) []string {
	var out []string
	for _, s := range plan.Steps {
		words := []string{string(s.Op)}
		for _, target := range s.Targets {
			words = append(words, target.PackageRef.String())
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

func TestPlannerImportComparesManifestWithMachine(t *testing.T) {
	auto, held := fakeapt.Installed("1.0"), fakeapt.Installed("1.0")
	auto.Auto, held.Want = true, events.WantHold
	for name, tc := range map[string]struct {
		state    map[events.PackageName]events.State
		manifest events.Manifest
		want     []string
		notes    int
	}{
		"a missing package":           {nil, events.Manifest{Packages: refs("sl")}, []string{"install sl"}, 0},
		"an older version":            {map[events.PackageName]events.State{"toy-app": fakeapt.Installed("2.0")}, events.Manifest{Packages: refs("toy-app=1.0")}, []string{"install toy-app=1.0"}, 0},
		"an automatic package":        {map[events.PackageName]events.State{"sl": auto}, events.Manifest{Packages: refs("sl")}, []string{"mark-manual sl"}, 0},
		"an automatic package, named": {map[events.PackageName]events.State{"sl": auto}, events.Manifest{Packages: refs("sl=1.0")}, []string{"mark-manual sl"}, 0},
		"a hold that is missing":      {map[events.PackageName]events.State{"sl": fakeapt.Installed("1.0")}, events.Manifest{Packages: refs("sl"), Holds: refs("sl")}, []string{"hold sl"}, 0},
		"a hold too many":             {map[events.PackageName]events.State{"sl": held}, events.Manifest{Packages: refs("sl")}, []string{"unhold sl"}, 0},
		"a hold of a new package":     {nil, events.Manifest{Packages: refs("sl"), Holds: refs("sl")}, []string{"install sl", "hold sl"}, 0},
		"the machine as it is":        {map[events.PackageName]events.State{"sl": fakeapt.Installed("1.0")}, events.Manifest{Packages: refs("sl=1.0")}, nil, 0},
		"a hold of nothing":           {nil, events.Manifest{Packages: refs("cowsay"), Holds: refs("sl")}, []string{"install cowsay"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			for n, s := range tc.state {
				b.SetState(n, s)
			}
			got := b.handle(b.request(0, events.Intent{Verb: events.VerbImport, Manifest: &tc.manifest}))
			if diff := cmp.Diff(tc.want, steps(got.Plan)); diff != "" || len(got.Plan.Notes) != tc.notes {
				t.Errorf("%s, %+v, notes %q (-want +got):\n%s", got.State, got.Failure, got.Plan.Notes, diff)
			}
		})
	}
}

func TestPlannerImportOfFilesListsOnlyDifferences(t *testing.T) {
	b := setup(t)
	manifest := &events.Manifest{Files: []events.ManifestFile{{Path: "/etc/apt/sources.list", Content: []byte("deb x y z\n")}}}
	got := b.handle(b.request(0, events.Intent{Verb: events.VerbImport, Manifest: manifest}))
	files := got.Plan.Files()
	if len(files) != 1 || files[0].Before.Exists() || files[0].After.Mode != 0o644 || files[0].After.Digest.Validate() != nil {
		t.Errorf("%s, %+v, files %+v", got.State, got.Failure, files)
	}
}

// ran appends a transaction that changed packages of the machine.
func (b *bench) ran(in events.Intent, risks []string, changes ...events.PackageChange) *events.Transaction {
	b.t.Helper()
	for _, c := range changes {
		b.SetState(c.Name, c.After)
	}
	plan := events.Plan{Risks: risks}
	txn, _ := recordertest.Transaction(b.t, b.Recorder, &events.Requested{Number: len(recordertest.Facts[*events.Requested](b.t, b.Recorder)) + 1, Intent: in},
		&events.Planned{PlanID: plan.ID(), Plan: plan}, &events.Approved{PlanID: plan.ID()}, &events.Started{PlanID: plan.ID()}, &events.Succeeded{Changes: changes})
	return txn
}

func change(name events.PackageName, before, after events.Version) events.PackageChange {
	c := events.PackageChange{PackageKey: recordertest.Key(name)}
	if before != "" {
		c.Before = fakeapt.Installed(before)
	}
	if after != "" {
		c.After = fakeapt.Installed(after)
	}
	return c
}

func TestPlannerUndo(t *testing.T) {
	undo := func(txn *events.Transaction, o events.Options) events.Intent {
		return events.Intent{Verb: events.VerbUndo, Target: txn.ID, Options: o}
	}
	t.Run("goes back and repeats the risks", func(t *testing.T) {
		b := setup(t)
		done := b.ran(install("toy-app"), []string{"toy-app: data in /var/lib/toy"}, change("toy-app", "1.0", "2.0"))
		got := b.handle(b.request(0, undo(done, events.Options{})))
		if diff := cmp.Diff([]string{"install toy-app:amd64=1.0", "restore"}, steps(got.Plan)); diff != "" || !slices.Equal(got.Plan.Undoes, []events.TransactionID{done.ID}) {
			t.Errorf("%s, %+v (-want +got):\n%s", got.State, got.Failure, diff)
		}
		if !slices.Contains(got.Plan.Notes, "not restored: toy-app: data in /var/lib/toy") {
			t.Errorf("notes %q", got.Plan.Notes)
		}
	})
	t.Run("holds what it downgrades", func(t *testing.T) {
		b := setup(t)
		done := b.ran(install("toy-app"), nil, change("toy-app", "1.0", "2.0"))
		got := b.handle(b.request(0, undo(done, events.Options{Hold: true})))
		if diff := cmp.Diff([]string{"install toy-app:amd64=1.0", "restore", "hold toy-app:amd64"}, steps(got.Plan)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", got.Failure, diff)
		}
	})
	t.Run("is refused where a later transaction conflicts", func(t *testing.T) {
		b := setup(t)
		first := b.ran(install("toy-app"), nil, change("toy-app", "", "1.0"))
		second := b.ran(events.Intent{Verb: events.VerbUpgrade}, nil, change("toy-app", "1.0", "2.0"))
		got := b.handle(b.request(0, undo(first, events.Options{})))
		if got.State != events.StateRefused || got.Failure.Kind != events.ErrConflict || !strings.Contains(got.Failure.Message, "transaction 2") {
			t.Errorf("%s, %+v", got.State, got.Failure)
		}
		got = b.handle(b.request(0, undo(first, events.Options{Cascade: true})))
		if got.State != events.StatePlanned || !slices.Equal(got.Plan.Undoes, []events.TransactionID{first.ID, second.ID}) {
			t.Errorf("with a cascade: %s, %+v, undoes %v", got.State, got.Failure, got.Plan.Undoes)
		}
	})
	t.Run("is refused where there is nothing to undo", func(t *testing.T) {
		b := setup(t)
		empty := b.ran(install("sl"), nil)
		undone := b.ran(install("sl"), nil, change("sl", "", "1.0"))
		reverting := b.ran(undo(undone, events.Options{}), nil, change("sl", "1.0", ""))
		recordertest.Continue(t, b.Recorder, undone, &events.Compensated{By: reverting.ID, Exact: true})
		waiting, _ := recordertest.Transaction(t, b.Recorder, &events.Requested{Number: 4, Intent: install("sl")})
		for name, in := range map[string]events.Intent{
			"changed nothing":   undo(empty, events.Options{}),
			"undone already":    undo(undone, events.Options{}),
			"not run yet":       undo(waiting, events.Options{}),
			"redo of no undo":   {Verb: events.VerbRedo, Target: undone.ID},
			"one of two is bad": {Verb: events.VerbUndo, Target: reverting.ID, AlsoUndo: []events.TransactionID{empty.ID}},
		} {
			if got := b.handle(b.request(0, in)); got.State != events.StateRefused || got.Failure.Hint == "" {
				t.Errorf("%s: %s, %+v", name, got.State, got.Failure)
			}
		}
	})
}

func TestPlannerNamesRisks(t *testing.T) {
	b := setup(t)
	b.SetState("toy-app", fakeapt.Installed("0.9"))
	got := b.handle(b.request(0, events.Intent{Verb: events.VerbUpgrade, Packages: refs("toy-app")}))
	if len(got.Plan.Risks) != 1 || !strings.HasPrefix(got.Plan.Risks[0], "toy-app 0.9: ") {
		t.Errorf("a version that no source offers: risks %q", got.Plan.Risks)
	}
	b.SetState("toy-app", fakeapt.Installed("1.0"))
	if got := b.handle(b.request(0, events.Intent{Verb: events.VerbUpgrade, Packages: refs("toy-app")})); len(got.Plan.Risks) != 0 {
		t.Errorf("a version that is offered: risks %q", got.Plan.Risks)
	}
}
