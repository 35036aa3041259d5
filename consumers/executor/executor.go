// Package executor carries out approved plans.
//
// It promises:
//
//   - Intent before effect: the start of a transaction and of each step is recorded
//     before anything runs. The append is the lock: a redelivered approval finds the
//     transaction started and does nothing.
//   - Exactly the approved plan: the plan is made again right before it runs, unless
//     all of its inputs are unchanged. If the new plan differs, the transaction is
//     refused as stale.
//   - dpkg is not started until a snapshot is durable. While dpkg's lock is held, the
//     machine is compared with the state before the step; then everything that an
//     undo needs is stored and recorded. If any of this fails, nothing changes.
//   - The outcome is the difference that dpkg and the file system show, after success
//     and failure alike, not the plan.
//   - Nothing is killed: when the executor stops, apt keeps running, and package
//     recovery records its end at the next start.
package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cortex/consumers/machine"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/policy"
	"cortex/consumers/recorder"
	"cortex/events"
)

// StepRunner carries out steps.
type StepRunner interface {
	// WaitForLock returns when no other package manager holds the lock.
	WaitForLock(ctx context.Context, limit time.Duration, report func(machine.LockHolder, time.Duration)) error
	// StepArgv returns the arguments with which Run carries out a step; nil when
	// no program does.
	StepArgv(step events.Step) []string
	Run(ctx context.Context, step events.Step, o machine.RunOptions) (machine.StepResult, error)
}

// InterruptionRepairer finds and repairs an interrupted package manager.
type InterruptionRepairer interface {
	DpkgInterrupted(ctx context.Context) (bool, error)
	Recover(ctx context.Context) (did []string, err error)
}

// PackageReader reads package states and fetches package files.
type PackageReader interface {
	Inventory(ctx context.Context) (events.Inventory, error)
	FetchDeb(ctx context.Context, k events.PackageKey, v events.Version, keep func(path string) error) error
}

// PackageManager has the executor's roles; apt.Machine implements it.
type PackageManager interface {
	StepRunner
	InterruptionRepairer
	PackageReader
}

// ConfigRestorer captures and restores configuration files and settings;
// confstate.Snapshots implements it.
type ConfigRestorer interface {
	Capture(ctx context.Context) (confstate.Snapshot, error)
	Save(i confstate.Snapshot) (events.Digest, error)
	Restore(ctx context.Context, step events.Step, base confstate.Snapshot) error
}

// DebStore stores package files; blobstore.Blobs implements it.
type DebStore interface {
	PutDeb(k events.PackageKey, v events.Version, path string) (events.Deb, error)
	Deb(k events.PackageKey, v events.Version) (events.Deb, bool)
}

// Replanner makes a transaction's plan again; planner.Planner implements it.
type Replanner interface {
	Replan(ctx context.Context, t *events.Transaction) (events.Plan, string, error)
}

// Finisher makes history agree with the machine: it ends a transaction that was cut
// off, and records changes that were made outside Cortex; recovery.Reconciler
// implements it.
type Finisher interface {
	FinishInterrupted(ctx context.Context, t *events.Transaction) error
	CatchUp(ctx context.Context) error
}

// Config configures an executor.
type Config struct {
	// MayRun is false where the process lacks the permission to change packages.
	MayRun bool
	// OnProgress receives progress; it must not block.
	OnProgress func(events.Progress)
}

// Executor handles an approved transaction and carries it out, one at a time: a second
// Handle waits for the first.
type Executor struct {
	log       events.Log
	recorder  *recorder.Recorder
	machine   PackageManager
	snapshots ConfigRestorer
	debs      DebStore
	replanner Replanner
	policy    policy.Evaluator
	finisher  Finisher
	cfg       Config

	runMu   sync.Mutex // held while a transaction is carried out
	drained bool       // under runMu: no other transaction starts
	running atomic.Bool
}

// New returns an executor.
func New(s *recorder.Recorder, m PackageManager, k ConfigRestorer, d DebStore, p Replanner, j policy.Evaluator, f Finisher, cfg Config) *Executor {
	return &Executor{log: s.Log, recorder: s, machine: m, snapshots: k, debs: d, replanner: p, policy: j, finisher: f, cfg: cfg}
}

// Running reports whether a transaction is being carried out.
func (x *Executor) Running() bool { return x.running.Load() }

// Drain waits for the transaction that is being carried out. No other starts after it:
// later approvals are delivered again at the next start.
func (x *Executor) Drain() {
	x.runMu.Lock()
	defer x.runMu.Unlock()
	x.drained = true
}

// Handle carries out an approved transaction. If the log is full, it reports that as
// progress and returns the error, so that the approval is delivered again.
func (x *Executor) Handle(ctx context.Context, r events.Record) error {
	x.runMu.Lock()
	defer x.runMu.Unlock()
	if x.drained {
		return context.Canceled
	}
	t, err := events.LoadTransaction(ctx, x.log, r.Transaction)
	if err != nil {
		return err
	}
	err = x.execute(ctx, r, t)
	if errors.Is(err, events.ErrFull) {
		x.reportProgress(t, events.Progress{Stage: events.StageWaiting, Percent: -1, Message: "waiting for free disk space to record the next event: " + err.Error()})
	}
	return err
}

// execute carries out an approved transaction, or ends one that an earlier delivery
// left running.
func (x *Executor) execute(ctx context.Context, r events.Record, t *events.Transaction) error {
	switch {
	case t.State == events.StateRunning:
		// We hold runMu, so no other delivery runs it: an earlier one could not
		// record its end.
		return x.finisher.FinishInterrupted(ctx, t)
	case t.State != events.StateApproved:
		return nil
	}
	x.running.Store(true)
	defer x.running.Store(false)

	if len(t.UnknownKinds) > 0 {
		return x.refuse(ctx, r, t, t.UnknownKinds[0].Error(fmt.Sprintf("transaction %d", t.Number), "carrying it out"))
	}
	before, unsaved, err := x.preflight(ctx, t)
	if err != nil {
		return x.refuse(ctx, r, t, err)
	}
	started, err := x.recorder.AppendToTransaction(ctx, recorder.CausedBy(r), t, &events.Started{PlanID: t.PlanID, InventoryHash: before.Hash()})
	if errors.Is(err, events.ErrConflict) {
		return nil // another process started it
	}
	if err != nil {
		return err
	}
	w := execution{Executor: x, t: t, cause: started, inventoryBefore: before, unsavedVersions: unsaved}
	return w.run(ctx)
}

// deniedError means that policy changed after the plan was made, and denies it now.
type deniedError struct{ events.Denied }

// Error implements error.
func (d *deniedError) Error() string { return d.Message }

func (x *Executor) refuse(ctx context.Context, r events.Record, t *events.Transaction, why error) error {
	if ctx.Err() != nil {
		return ctx.Err() // the daemon stops; the approval is delivered again
	}
	var fact events.Fact = &events.Refused{Failure: events.FailureOf(why)}
	if d, ok := errors.AsType[*deniedError](why); ok {
		fact = &d.Denied
	}
	_, err := x.recorder.AppendToTransaction(ctx, recorder.CausedBy(r), t, fact)
	if errors.Is(err, events.ErrConflict) {
		return nil
	}
	return err
}

// preflight waits for other package managers, checks that the approved plan is still
// exactly what would happen, and records changes that were made outside Cortex. It
// returns the present inventory, and the replaced versions that could not be stored.
func (x *Executor) preflight(ctx context.Context, t *events.Transaction) (before events.Inventory, unsaved []string, err error) {
	if !x.cfg.MayRun {
		return nil, nil, &events.Error{Op: "executor.preflight", Kind: events.ErrConfirmation, Err: errors.New("changing packages needs root"), Hint: "run the command with sudo"}
	}
	err = x.machine.WaitForLock(ctx, t.Intent.Options.LockWait(), func(h machine.LockHolder, waited time.Duration) {
		x.reportProgress(t, events.Progress{
			Stage: events.StageWaiting, Percent: -1,
			Message: fmt.Sprintf("waiting for %s (%s so far)", h, waited.Round(time.Second)),
		})
	})
	if err != nil {
		return nil, nil, err
	}
	plan, _, err := x.replanner.Replan(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	if id := plan.ID(); id != t.PlanID {
		return nil, nil, &events.Error{
			Op: "executor.preflight", Kind: events.ErrStale, Subject: "plan " + string(t.PlanID),
			Err: errors.New("the machine has changed since the plan was made"), Hint: "run the command again to see the present plan",
		}
	}
	if v, rules := x.policy.Evaluate(policy.InputFor(t, plan, x.recorder.Now())); v != nil {
		return nil, nil, &deniedError{events.Denied{Rule: v.Rule, Message: v.Message, PolicyVersion: rules}}
	}
	if unsaved, err = x.saveReplacedDebs(ctx, plan); err != nil {
		return nil, nil, err
	}
	if err := x.finisher.CatchUp(ctx); err != nil {
		return nil, nil, err
	}
	before, err = x.machine.Inventory(ctx)
	return before, unsaved, err
}

// WhileIdle calls f if no transaction is being carried out; none starts until f
// returns. ran is false if a transaction is being carried out.
func (x *Executor) WhileIdle(f func() error) (ran bool, err error) {
	if !x.runMu.TryLock() {
		return false, nil
	}
	defer x.runMu.Unlock()
	return true, f()
}

func (x *Executor) reportProgress(t *events.Transaction, p events.Progress) {
	p.Transaction, p.Steps, p.Time = t.ID, len(t.Plan.Steps), x.recorder.Now()
	x.cfg.OnProgress(p)
}
