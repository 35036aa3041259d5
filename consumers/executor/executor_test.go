package executor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cortex/consumers/executor"
	"cortex/consumers/machine"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/machine/fakeapt"
	"cortex/consumers/policy"
	"cortex/consumers/recorder"
	"cortex/consumers/recorder/recordertest"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var toy = recordertest.Key("toy-app")

// bench is an executor and everything that it calls. Its machine upgrades toy-app from
// 1.0 to 2.0, and calls the gate before as apt does.
type bench struct {
	t *testing.T
	*recorder.Recorder
	*fakeapt.Fake
	executor *executor.Executor
	dir      string
	plan     events.Plan
	did      []string // calls of the machine, in order

	noGate      bool                    // the machine does not call the gate
	pending     []machine.PendingAction // that the machine reports to the gate
	whileLocked func()                  // called right before the gate
	lockErr     error
	stepErr     error
	exit        int
	interrupted bool
	recovered   []string
	denial      *events.Denial
	offered     bool // sources still offer the replaced version
	etc         int64
	captureErr  error
	saved       map[string]events.Deb
}

func setup(t *testing.T) *bench {
	b := &bench{t: t, Recorder: recordertest.New(), Fake: fakeapt.New(), dir: t.TempDir(), saved: map[string]events.Deb{}, offered: true}
	b.SetState(toy.Name, fakeapt.Installed("1.0"))
	b.plan = events.Plan{
		Changes: []events.PlannedChange{{PackageKey: toy, Action: events.ActionUpgrade, From: "1.0", To: "2.0"}},
		Steps:   []events.Step{{Op: events.OpUpgrade, Targets: []events.Target{{PackageRef: events.PackageRef{Name: toy.Name}}}}},
	}
	b.pending = []machine.PendingAction{{PackageKey: toy, Old: "1.0", New: "2.0", Deb: b.deb("2.0")}}
	b.restart(executor.Config{MayRun: true, OnProgress: func(events.Progress) {}})
	return b
}

func (b *bench) restart(cfg executor.Config) {
	b.executor = executor.New(b.Recorder, b, b, b, b, b, b, cfg)
}

// deb writes a package file.
func (b *bench) deb(version string) string {
	path := filepath.Join(b.dir, version+".deb")
	if err := os.WriteFile(path, []byte(version), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func (b *bench) note(format string, args ...any) { b.did = append(b.did, fmt.Sprintf(format, args...)) }

// The machine.

func (b *bench) WaitForLock(context.Context, time.Duration, func(machine.LockHolder, time.Duration)) error {
	return b.lockErr
}

func (b *bench) Run(ctx context.Context, s events.Step, o machine.RunOptions) (machine.StepResult, error) {
	if n := len(recordertest.Facts[*events.StepStarted](b.t, b.Recorder)); n == 0 {
		b.t.Error("a step runs before its start is recorded")
	}
	if b.whileLocked != nil {
		b.whileLocked()
	}
	if !b.noGate {
		if err := o.Gate(ctx, b.pending); err != nil {
			b.note("veto")
			return machine.StepResult{ExitCode: 100}, err
		}
		if len(recordertest.Facts[*events.SnapshotTaken](b.t, b.Recorder)) == 0 {
			b.t.Error("the gate opened before the snapshot is recorded")
		}
	}
	b.note("%s", s.Op)
	b.etc++
	if b.stepErr != nil {
		return machine.StepResult{Argv: []string{"apt-get"}, ExitCode: b.exit, Output: "E: no"}, b.stepErr
	}
	return b.Fake.Run(ctx, s, o)
}

func (b *bench) DpkgInterrupted(context.Context) (bool, error) { return b.interrupted, nil }

func (b *bench) Recover(context.Context) ([]string, error) {
	b.note("recover")
	return b.recovered, nil
}

func (b *bench) FetchDeb(_ context.Context, k events.PackageKey, v events.Version, keep func(string) error) error {
	if !b.offered {
		return errors.New("not offered")
	}
	b.note("fetch %s %s", k.Name, v)
	return keep(b.deb(string(v)))
}

// The snapshots: one file that every step changes.

func (b *bench) Capture(context.Context) (confstate.Snapshot, error) {
	return confstate.Snapshot{Files: map[string]events.FileState{"/etc/toy": {Kind: events.FileRegular, Size: b.etc}}}, b.captureErr
}

func (b *bench) Save(confstate.Snapshot) (events.Digest, error) {
	return events.Digest(strings.Repeat("a", 64)), nil
}

func (b *bench) Restore(context.Context, events.Step, confstate.Snapshot) error {
	b.note("restore")
	return nil
}

// The store of package files.

func (b *bench) PutDeb(k events.PackageKey, v events.Version, path string) (events.Deb, error) {
	if _, err := os.Stat(path); err != nil {
		return events.Deb{}, err
	}
	d := events.Deb{PackageKey: k, Version: v, Digest: events.Digest(strings.Repeat("d", 64))}
	b.saved[k.String()+" "+string(v)] = d
	return d, nil
}

func (b *bench) Deb(k events.PackageKey, v events.Version) (events.Deb, bool) {
	d, ok := b.saved[k.String()+" "+string(v)]
	return d, ok
}

// The planner, the policy and the recovery.

func (b *bench) Replan(context.Context, *events.Transaction) (events.Plan, string, error) {
	return b.plan, "", nil
}

func (b *bench) Evaluate(policy.Input) (policy.Decision, string) { return b.denial, "rules" }

func (b *bench) CatchUp(context.Context) error { b.note("catch up"); return nil }

func (b *bench) FinishInterrupted(_ context.Context, txn *events.Transaction) error {
	b.note("finish")
	_, err := b.AppendToTransaction(context.Background(), recorder.Cause{}, txn, &events.Interrupted{Reason: "test"})
	return err
}

// approve appends an approved transaction with the present plan.
func (b *bench) approve() (*events.Transaction, events.Record) {
	b.t.Helper()
	return recordertest.Transaction(b.t, b.Recorder,
		&events.Requested{Number: 1, Intent: events.Intent{Verb: events.VerbUpgrade}},
		&events.Planned{PlanID: b.plan.ID(), Plan: b.plan}, &events.Approved{PlanID: b.plan.ID()})
}

// handle delivers an approval and returns the transaction afterwards.
func (b *bench) handle(approval events.Record) *events.Transaction {
	b.t.Helper()
	if err := b.executor.Handle(b.t.Context(), approval); err != nil {
		b.t.Fatal(err)
	}
	return recordertest.Load(b.t, b.Recorder, approval.Transaction)
}

// execute approves the present plan and carries it out.
func (b *bench) execute() *events.Transaction {
	b.t.Helper()
	_, approval := b.approve()
	return b.handle(approval)
}

func (b *bench) ran() bool { return slices.Contains(b.did, string(events.OpUpgrade)) }

func TestExecutorRunsApprovedPlanOnce(t *testing.T) {
	b := setup(t)
	_, approval := b.approve()
	for range 3 {
		got := b.handle(approval)
		if got.State != events.StateSucceeded || len(got.Changes) != 1 || got.Changes[0].After.Version != "2.0" || len(got.Files) != 1 {
			t.Fatalf("%s, changes %v, files %v, %+v", got.State, got.Changes, got.Files, got.Failure)
		}
	}
	if want := []string{"fetch toy-app 1.0", "catch up", "upgrade"}; cmp.Diff(want, b.did) != "" {
		t.Errorf("did %q, want %q", b.did, want)
	}
}

func TestExecutorVetoesPlanChangedWhileLocked(t *testing.T) {
	held := fakeapt.Installed("1.0")
	held.Want = events.WantHold
	auto := fakeapt.Installed("1.0")
	auto.Auto = true
	for name, tc := range map[string]struct {
		meanwhile func(*bench)
		pending   []machine.PendingAction

		veto bool
	}{
		"nothing":                      {},
		"the package itself":           {meanwhile: func(b *bench) { b.SetState(toy.Name, fakeapt.Installed("1.5")) }, veto: true},
		"another package":              {meanwhile: func(b *bench) { b.SetState("sl", fakeapt.Installed("1.0")) }, veto: true},
		"a package is gone":            {meanwhile: func(b *bench) { b.SetState(toy.Name, events.State{}) }, veto: true},
		"a hold":                       {meanwhile: func(b *bench) { b.SetState(toy.Name, held) }, veto: true},
		"a mark, which apt writes":     {meanwhile: func(b *bench) { b.SetState(toy.Name, auto) }},
		"apt installs one more":        {pending: []machine.PendingAction{{PackageKey: recordertest.Key("sl"), New: "1.0", Deb: "x"}}, veto: true},
		"apt removes one more":         {pending: []machine.PendingAction{{PackageKey: recordertest.Key("sl"), Old: "1.0", Remove: true}}, veto: true},
		"apt installs another version": {pending: []machine.PendingAction{{PackageKey: toy, Old: "1.0", New: "3.0", Deb: "x"}}, veto: true},
		"apt configures one more":      {pending: []machine.PendingAction{{PackageKey: recordertest.Key("sl"), New: "1.0"}}},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			if tc.meanwhile != nil {
				b.whileLocked = func() { tc.meanwhile(b) }
			}
			if tc.pending != nil {
				b.pending = tc.pending
			}
			got := b.execute()
			vetoed := got.State == events.StateFailed && got.Failure.Kind == events.ErrStale
			if vetoed != tc.veto || b.ran() == tc.veto {
				t.Errorf("%s, %+v; did %q", got.State, got.Failure, b.did)
			}
			if tc.veto && len(got.Snapshots) != 0 {
				t.Error("a snapshot was recorded for a step that did not run")
			}
		})
	}
}

func TestExecutorVetoesWithoutSnapshot(t *testing.T) {
	b := setup(t)
	b.whileLocked = func() { b.captureErr = errors.New("disk is full") }
	_, approval := b.approve()
	_ = b.executor.Handle(t.Context(), approval)
	if b.ran() || !slices.Contains(b.did, "veto") {
		t.Errorf("did %q", b.did)
	}
}

func TestExecutorRefusesBeforeStart(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*bench)
		state   events.TransactionState
		kind    events.ErrorKind
	}{
		"a plan that changed": {func(b *bench) { b.plan.Changes = nil }, events.StateRefused, events.ErrStale},
		"a policy that changed": {
			func(b *bench) { b.denial = &events.Denial{Rule: "no-toys", Message: "no toys"} }, events.StateDenied, events.ErrDenied,
		},
		"a busy lock": {
			func(b *bench) { b.lockErr = &events.Error{Kind: events.ErrLockBusy} }, events.StateRefused, events.ErrLockBusy,
		},
		"a daemon without the right": {
			func(b *bench) { b.restart(executor.Config{OnProgress: func(events.Progress) {}}) }, events.StateRefused, events.ErrConfirmation,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			_, approval := b.approve()
			tc.prepare(b)
			got := b.handle(approval)
			if got.State != tc.state || got.Failure == nil || got.Failure.Kind != tc.kind || b.ran() || len(got.Steps) != 0 {
				t.Errorf("%s, %+v; did %q", got.State, got.Failure, b.did)
			}
		})
	}
}

func TestExecutorSavesReplacedAndNewPackageFiles(t *testing.T) {
	b := setup(t)
	got := b.execute()
	for _, v := range []string{"1.0", "2.0"} {
		if _, ok := b.saved[toy.String()+" "+v]; !ok {
			t.Errorf("version %s is not in the store", v)
		}
	}
	var named []string
	for _, d := range got.Snapshots[0].Debs {
		named = append(named, string(d.Version))
	}
	if slices.Sort(named); !slices.Equal(named, []string{"1.0", "2.0"}) || len(got.Snapshots[0].NotStored) != 0 {
		t.Errorf("the snapshot names the versions %q, not stored %q", named, got.Snapshots[0].NotStored)
	}
	if i := slices.Index(b.did, "fetch toy-app 1.0"); i < 0 || i > slices.Index(b.did, "upgrade") {
		t.Errorf("the replaced version was not fetched before the step: %q", b.did)
	}

	b = setup(t)
	b.offered = false
	got = b.execute()
	if got.State != events.StateSucceeded || !slices.Equal(got.Snapshots[0].NotStored, []string{"toy-app 1.0"}) {
		t.Errorf("%s; not stored %q", got.State, got.Snapshots[0].NotStored)
	}

	b = setup(t)
	if _, err := b.PutDeb(toy, "1.0", b.deb("1.0")); err != nil {
		t.Fatal(err)
	}
	if got := b.execute(); slices.Contains(b.did, "fetch toy-app 1.0") || len(got.Snapshots[0].NotStored) != 0 {
		t.Errorf("a stored version was fetched again: %q", b.did)
	}
}

// A step of marks or holds does not call the gate, so that no snapshot is taken under
// dpkg's lock. Its effects are recorded all the same.
func TestExecutorRecordsEffectsWithoutLockedSnapshot(t *testing.T) {
	b := setup(t)
	b.noGate = true
	got := b.execute()
	if len(got.Snapshots) != 0 {
		t.Fatal("a snapshot was taken")
	}
	if len(got.Changes) != 1 || len(got.Files) != 1 || got.Files[0].Path != "/etc/toy" || got.Files[0].Before.Size != 0 || got.Files[0].After.Size != 1 {
		t.Errorf("%s, changes %v, files %v", got.State, got.Changes, got.Files)
	}
}

func TestExecutorRecordsDifferenceAfterFailure(t *testing.T) {
	for name, tc := range map[string]struct {
		exit        int
		interrupted bool
		recovered   []string
		message     string
	}{
		"dpkg is consistent":     {exit: 100, message: "post-installation failed"},
		"dpkg is interrupted":    {exit: 100, interrupted: true, recovered: []string{"dpkg --configure -a"}, message: "was repaired: dpkg --configure -a"},
		"apt was killed":         {exit: -1, recovered: []string{"dpkg --configure -a"}, message: "was repaired: dpkg --configure -a"},
		"killed between changes": {exit: -1, message: "post-installation failed"},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.stepErr, b.exit = &events.Error{Kind: events.ErrApt, Err: errors.New("post-installation failed"), Hint: "see the output"}, tc.exit
			b.interrupted, b.recovered = tc.interrupted, tc.recovered
			b.plan.Steps = append(b.plan.Steps, events.Step{Op: events.OpHold})
			got := b.execute()
			if got.State != events.StateFailed || got.Failure.Kind != events.ErrApt || !strings.Contains(got.Failure.Message, tc.message) || got.Failure.Hint != "see the output" {
				t.Errorf("%s, %+v; want %q", got.State, got.Failure, tc.message)
			}
			if len(got.Steps) != 1 || got.Steps[0].ExitCode != tc.exit || len(got.Files) != 1 {
				t.Errorf("steps %+v, files %v", got.Steps, got.Files)
			}
		})
	}
}

func TestExecutorRestoreStepTakesSnapshotFirst(t *testing.T) {
	b := setup(t)
	b.plan = events.Plan{Steps: []events.Step{{Op: events.OpRestore, Files: []events.FileChange{{Path: "/etc/toy"}}}}}
	got := b.execute()
	if got.State != events.StateSucceeded || len(got.Snapshots) != 1 || !slices.Contains(b.did, "restore") {
		t.Errorf("%s, %+v, %d snapshots; did %q", got.State, got.Failure, len(got.Snapshots), b.did)
	}
}

func TestExecutorEndsTransactionLeftRunning(t *testing.T) {
	b := setup(t)
	txn, approval := b.approve()
	recordertest.Continue(t, b.Recorder, txn, &events.Started{PlanID: txn.PlanID})
	if got := b.handle(approval); got.State != events.StateInterrupted || b.ran() {
		t.Errorf("%s; did %q", got.State, b.did)
	}
}

func TestExecutorDrainStartsNoOther(t *testing.T) {
	b := setup(t)
	_, approval := b.approve()
	b.executor.Drain()
	if err := b.executor.Handle(t.Context(), approval); !errors.Is(err, context.Canceled) || b.ran() {
		t.Errorf("%v; did %q", err, b.did)
	}
	if got := recordertest.Load(t, b.Recorder, approval.Transaction); got.State != events.StateApproved {
		t.Errorf("the transaction is %s", got.State)
	}
}

func TestExecutorWhileIdleExcludesTransactions(t *testing.T) {
	b := setup(t)
	failed := errors.New("failed")
	if ran, err := b.executor.WhileIdle(func() error { return failed }); !ran || !errors.Is(err, failed) {
		t.Errorf("idle: ran %v, %v", ran, err)
	}
	b.whileLocked = func() {
		if ran, _ := b.executor.WhileIdle(func() error { return nil }); ran || !b.executor.Running() {
			t.Errorf("during a transaction: ran %v, running %v", ran, b.executor.Running())
		}
	}
	b.execute()
	if b.executor.Running() {
		t.Error("it still runs after the transaction ended")
	}
}

func TestExecutorStoppedInStepRecordsNoEnd(t *testing.T) {
	b := setup(t)
	_, approval := b.approve()
	ctx, cancel := context.WithCancel(t.Context())
	b.whileLocked, b.stepErr = cancel, context.Canceled
	if err := b.executor.Handle(ctx, approval); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	got := recordertest.Load(t, b.Recorder, approval.Transaction)
	if got.State != events.StateRunning || len(got.Steps) != 1 || got.Steps[0].Done {
		t.Errorf("%s, steps %+v", got.State, got.Steps)
	}
}
