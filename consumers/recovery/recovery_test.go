package recovery_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/consumers/inventory"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/machine/fakeapt"
	"cortex/consumers/recorder"
	"cortex/consumers/recorder/recordertest"
	"cortex/consumers/recovery"
	"cortex/events"
)

// bench is a reconciler with a machine, snapshots and hooks that a test controls.
type bench struct {
	t *testing.T
	*recorder.Recorder
	*recovery.Reconciler
	machine   *fakeapt.Fake
	recovered []string
	failure   error  // of Recover
	meanwhile func() // called by Recover
	files     confstate.Snapshot
	stored    map[events.Digest]confstate.Snapshot
	ingested  int
	busy      bool // a change outside Cortex is in progress
}

func setup(t *testing.T) *bench {
	b := &bench{t: t, Recorder: recordertest.New(), machine: fakeapt.New(), stored: map[events.Digest]confstate.Snapshot{}}
	b.restart()
	return b
}

// restart creates the reconciler of a new daemon.
func (b *bench) restart() {
	b.Reconciler = recovery.New(b.Recorder, inventory.New(b.Log), b, b, b)
}

func (b *bench) Inventory(ctx context.Context) (events.Inventory, error) {
	return b.machine.Inventory(ctx)
}

func (b *bench) Recover(context.Context) ([]string, error) {
	if b.meanwhile != nil {
		b.meanwhile()
	}
	return b.recovered, b.failure
}

func (b *bench) Capture(context.Context) (confstate.Snapshot, error) { return b.files, nil }

func (b *bench) Load(d events.Digest) (confstate.Snapshot, error) {
	s, ok := b.stored[d]
	if !ok {
		return s, &events.Error{Op: "test", Kind: events.ErrNotFound, Subject: string(d)}
	}
	return s, nil
}

func (b *bench) Ingest(context.Context) error { b.ingested++; return nil }
func (b *bench) InProgress() bool             { return b.busy }

func (b *bench) run() {
	b.t.Helper()
	b.restart()
	if err := b.Run(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) drift() []*events.DriftDetected {
	return recordertest.Facts[*events.DriftDetected](b.t, b.Recorder)
}

// running appends a transaction that a daemon left running.
func (b *bench) running(facts ...events.Fact) *events.Transaction {
	b.t.Helper()
	plan := events.Plan{Steps: []events.Step{{Op: events.OpInstall}, {Op: events.OpHold}}}
	txn, _ := recordertest.Transaction(b.t, b.Recorder,
		&events.Requested{Number: 1, Intent: events.Intent{Verb: events.VerbUpgrade}},
		&events.Planned{PlanID: plan.ID(), Plan: plan}, &events.Approved{PlanID: plan.ID()}, &events.Started{PlanID: plan.ID()})
	recordertest.Continue(b.t, b.Recorder, txn, facts...)
	return txn
}

func TestRecoveryFirstStartRecordsBaselineOnce(t *testing.T) {
	b := setup(t)
	b.machine.SetState("sl", fakeapt.Installed("1.0"))
	b.run()
	b.run()
	got := recordertest.Facts[*events.BaselineRecorded](t, b.Recorder)
	if len(got) != 1 || len(got[0].Packages) != 1 || got[0].Packages[0].Name != "sl" || len(b.drift()) != 0 {
		t.Errorf("baselines %v, drift %v", got, b.drift())
	}
}

func TestRecoveryRecordsDriftOnce(t *testing.T) {
	b := setup(t)
	b.run()
	b.machine.SetState("sl", fakeapt.Installed("1.0"))
	b.run()
	b.run()
	want := []events.PackageChange{{PackageKey: recordertest.Key("sl"), After: fakeapt.Installed("1.0")}}
	if got := b.drift(); len(got) != 1 || cmp.Diff(want, got[0].Changes) != "" {
		t.Errorf("drift %v", got)
	}
	if b.ingested != 2 {
		t.Errorf("observations were recorded %d times, want before each comparison", b.ingested)
	}
}

func TestRecoveryRecordsNoDriftDuringOutsideChange(t *testing.T) {
	b := setup(t)
	b.run()
	b.machine.SetState("sl", fakeapt.Installed("1.0"))
	b.busy = true
	b.run()
	if got := b.drift(); len(got) != 0 {
		t.Errorf("drift %v while apt is running", got)
	}
	b.busy = false
	b.run()
	if got := b.drift(); len(got) != 1 {
		t.Errorf("drift %v after apt ended", got)
	}
}

func TestRecoveryEndsInterruptedTransactionWithDifference(t *testing.T) {
	etc := func(size int64) confstate.Snapshot {
		return confstate.Snapshot{Files: map[string]events.FileState{"/etc/sl.conf": {Kind: events.FileRegular, Size: size}}}
	}
	digest := events.Digest(strings.Repeat("a", 64))
	for name, tc := range map[string]struct {
		facts     []events.Fact
		failure   error
		files     int
		reason    string
		recovered []string
	}{
		"before the first step": {nil, nil, 0, "before the first step", []string{"dpkg --configure -a"}},
		"during a step": {
			[]events.Fact{&events.StepStarted{Op: events.OpInstall, Argv: []string{"apt-get", "install"}}, &events.SnapshotTaken{Snapshot: digest}},
			nil, 1, "during step 1 of 2 (apt-get install)",
			[]string{"dpkg --configure -a"},
		},
		"after a step": {
			[]events.Fact{&events.StepStarted{Op: events.OpInstall}, &events.StepSucceeded{}},
			nil, 0, "after step 1 of 2",
			[]string{"dpkg --configure -a"},
		},
		"with a repair that fails": {nil, errors.New("disk is broken"), 0, "before the first step", []string{"dpkg --configure -a", "failed: disk is broken"}},
		"with a lost snapshot": {
			[]events.Fact{&events.StepStarted{Op: events.OpInstall}, &events.SnapshotTaken{Snapshot: events.Digest(strings.Repeat("b", 64))}},
			nil, 0, "during step 1 of 2",
			[]string{"dpkg --configure -a", "failed: " + strings.Repeat("b", 64)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.run()
			txn := b.running(tc.facts...)
			b.stored[digest], b.files = etc(1), etc(2)
			b.recovered, b.failure = []string{"dpkg --configure -a"}, tc.failure
			b.meanwhile = func() { b.machine.SetState("sl", fakeapt.Installed("1.0")) }
			b.run()
			b.run() // nothing is left to do
			got := recordertest.Load(t, b.Recorder, txn.ID)
			if got.State != events.StateInterrupted || !strings.Contains(got.Failure.Message, tc.reason) {
				t.Fatalf("%s, %+v; want %q", got.State, got.Failure, tc.reason)
			}
			if len(got.Changes) != 1 || got.Changes[0].Name != "sl" || len(got.Files) != tc.files {
				t.Errorf("changes %v, files %v", got.Changes, got.Files)
			}
			if len(got.Recovered) != len(tc.recovered) {
				t.Fatalf("recovered %q, want %q", got.Recovered, tc.recovered)
			}
			for i, want := range tc.recovered {
				if !strings.HasPrefix(got.Recovered[i], want) {
					t.Errorf("recovered %q, want %q", got.Recovered[i], want)
				}
			}
			if len(b.drift()) != 0 {
				t.Errorf("the changes of the transaction were also recorded as drift: %v", b.drift())
			}
		})
	}
}

func TestRecoveryThatIsStoppedRecordsNothing(t *testing.T) {
	b := setup(t)
	b.run()
	txn := b.running()
	ctx, cancel := context.WithCancel(t.Context())
	b.meanwhile, b.failure = cancel, context.Canceled
	b.restart()
	if err := b.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := recordertest.Load(t, b.Recorder, txn.ID); got.State != events.StateRunning {
		t.Errorf("the transaction is %s", got.State)
	}
}

func TestRecoveryLeavesEndedTransactionAlone(t *testing.T) {
	b := setup(t)
	b.run()
	txn := b.running(&events.Succeeded{})
	b.meanwhile = func() { t.Error("dpkg was repaired although no transaction was interrupted") }
	b.run()
	if got := recordertest.Load(t, b.Recorder, txn.ID); got.State != events.StateSucceeded {
		t.Errorf("the transaction is %s", got.State)
	}
}
