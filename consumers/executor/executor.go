// Package executor runs approved plans, and nothing else ever runs on the
// machine.
//
// It promises:
//
//   - Intent before effect: a transaction and each of its steps are on record as
//     started before anything runs. The append is the lock: a redelivered
//     approval finds the transaction started and does nothing.
//   - Exactly the approved plan: it is made again right before, unless all that apt
//     plans from is as it was, and another result refuses the transaction as stale.
//   - No durable image of what is, no dpkg: while dpkg's lock is held and before it
//     starts, the machine is compared with what the plan was made on, what an undo
//     needs is kept and on record; otherwise nothing happens.
//   - The outcome is the difference that dpkg and the file system show, after
//     success and failure alike, not what was planned.
//   - Nothing is killed: when the executor is told to stop, apt goes on, and the
//     reconciler of the next start records how it ended.
package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"cortex/consumers/apt"
	"cortex/consumers/keeper"
	"cortex/consumers/policy"
	"cortex/consumers/scribe"
	"cortex/events"
)

// Machine is what the executor needs of apt and dpkg.
type Machine interface {
	Inventory(ctx context.Context) (events.Inventory, error)
	WaitForLock(ctx context.Context, limit time.Duration, tell func(apt.Holder, time.Duration)) error
	Run(ctx context.Context, step events.Step, o apt.RunOptions) (apt.StepResult, error)
	CutOff(ctx context.Context) (bool, error)
	Recover(ctx context.Context) (did []string, err error)
	Fetch(ctx context.Context, k events.PackageKey, v events.Version, keep func(path string) error) error
}

// Keeper captures and restores what dpkg's package states do not tell; see
// keeper.Keeper.
type Keeper interface {
	Capture(ctx context.Context) (keeper.Image, error)
	Save(i keeper.Image) (events.Digest, error)
	Restore(ctx context.Context, step events.Step, base keeper.Image) error
}

// Debs keeps package files; see vault.Vault.
type Debs interface {
	KeepDeb(k events.PackageKey, v events.Version, path string) (events.Deb, error)
	Deb(k events.PackageKey, v events.Version) (events.Deb, bool)
}

// Plans makes a transaction's plan again; see planner.Planner.Again.
type Plans interface {
	Again(ctx context.Context, t *events.Transaction) (events.Plan, string, error)
}

// Finisher makes history agree with the machine: it ends a transaction that is on
// record as running although nobody runs it, and records what others changed; see
// reconciler.Reconciler.
type Finisher interface {
	Finish(ctx context.Context, t *events.Transaction) error
	CatchUp(ctx context.Context) error
}

// Config says what the executor may do.
type Config struct {
	// MayRun is false where the process lacks the rights to change packages.
	MayRun bool
	// Tell receives progress; it must not block.
	Tell func(events.Progress)
}

// Executor is a worker: an approved transaction in, an ended one out. It carries
// out one transaction at a time; a second Handle waits for the first.
type Executor struct {
	log     events.Log
	scribe  *scribe.Scribe
	machine Machine
	keep    Keeper
	debs    Debs
	plans   Plans
	policy  policy.Judge
	finish  Finisher
	cfg     Config

	turn    sync.Mutex // held by the one transaction that is being carried out
	drained bool       // under turn: nothing starts any more
	running atomic.Bool
}

// New returns an executor.
func New(s *scribe.Scribe, m Machine, k Keeper, d Debs, p Plans, j policy.Judge, f Finisher, cfg Config) *Executor {
	return &Executor{log: s.Log, scribe: s, machine: m, keep: k, debs: d, plans: p, policy: j, finish: f, cfg: cfg}
}

// Running reports whether a transaction is being carried out.
func (x *Executor) Running() bool { return x.running.Load() }

// Drain waits for the transaction that is being carried out and lets no other
// start; approvals that come later stay undelivered until the next start.
func (x *Executor) Drain() {
	x.turn.Lock()
	defer x.turn.Unlock()
	x.drained = true
}

// Handle reacts to an approval. When there is no room to record how it goes on, it
// says so to who follows, and whoever calls tries again.
func (x *Executor) Handle(ctx context.Context, r events.Record) error {
	x.turn.Lock()
	defer x.turn.Unlock()
	if x.drained {
		return context.Canceled
	}
	t, err := events.LoadTransaction(ctx, x.log, r.Transaction)
	if err != nil {
		return err
	}
	err = x.carryOut(ctx, r, t)
	if errors.Is(err, events.ErrFull) {
		x.tell(t, events.Progress{Stage: events.StageWaiting, Percent: -1, Message: "waiting for room to record it: " + err.Error()})
	}
	return err
}

// carryOut does what an approved transaction, as it stands, still needs.
func (x *Executor) carryOut(ctx context.Context, r events.Record, t *events.Transaction) error {
	switch {
	case t.State == events.StateRunning:
		// It is our turn, so nobody runs it: an earlier delivery could not
		// record how it ended.
		return x.finish.Finish(ctx, t)
	case t.State != events.StateApproved:
		return nil
	}
	x.running.Store(true)
	defer x.running.Store(false)

	before, lost, err := x.ready(ctx, t)
	if err != nil {
		return x.refuse(ctx, r, t, err)
	}
	started, err := x.scribe.Transaction(ctx, scribe.After(r), t, &events.Started{PlanID: t.PlanID, Base: before.Hash()})
	if errors.Is(err, events.ErrConflict) {
		return nil // somebody else holds it
	}
	if err != nil {
		return err
	}
	w := work{Executor: x, t: t, cause: started, before: before, lost: lost}
	return w.run(ctx)
}

// denied: policy forbids now what it did not when the plan was made.
type denied struct{ events.Denied }

// Error implements error.
func (d *denied) Error() string { return d.Message }

func (x *Executor) refuse(ctx context.Context, r events.Record, t *events.Transaction, why error) error {
	if ctx.Err() != nil {
		return ctx.Err() // we are stopping; the approval is delivered again
	}
	var fact events.Fact = &events.Refused{Failure: events.FailureOf(why)}
	if d, ok := errors.AsType[*denied](why); ok {
		fact = &d.Denied
	}
	_, err := x.scribe.Transaction(ctx, scribe.After(r), t, fact)
	if errors.Is(err, events.ErrConflict) {
		return nil
	}
	return err
}

// ready waits for other package managers, makes sure that the approved plan is
// still exactly what would happen, and records what changed on the machine
// behind our back. It returns the inventory right before, and what goes and could
// not be kept.
func (x *Executor) ready(ctx context.Context, t *events.Transaction) (before events.Inventory, lost []string, err error) {
	if !x.cfg.MayRun {
		return nil, nil, &events.Error{Op: "executor.ready", Kind: events.ErrConfirmation, Err: errors.New("changing packages needs root"), Hint: "run the command with sudo"}
	}
	err = x.machine.WaitForLock(ctx, t.Intent.Options.LockWait(), func(h apt.Holder, waited time.Duration) {
		x.tell(t, events.Progress{
			Stage: events.StageWaiting, Percent: -1,
			Message: fmt.Sprintf("waiting for %s (%s so far)", h, waited.Round(time.Second)),
		})
	})
	if err != nil {
		return nil, nil, err
	}
	plan, _, err := x.plans.Again(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	if id := plan.ID(); id != t.PlanID {
		return nil, nil, &events.Error{
			Op: "executor.ready", Kind: events.ErrStale, Subject: "plan " + string(t.PlanID),
			Err: errors.New("the machine has changed since it was made"), Hint: "ask again to see the plan as it is now",
		}
	}
	if v, rules := x.policy.Judge(policy.CaseOf(t, plan, x.scribe.Now())); v != nil {
		return nil, nil, &denied{events.Denied{Rule: v.Rule, Message: v.Message, Policy: rules}}
	}
	if lost, err = x.saveOutgoing(ctx, plan); err != nil {
		return nil, nil, err
	}
	if err := x.finish.CatchUp(ctx); err != nil {
		return nil, nil, err
	}
	before, err = x.machine.Inventory(ctx)
	return before, lost, err
}

// WhileIdle calls f while no transaction is being carried out, and none starts
// meanwhile; ran is false when one is.
func (x *Executor) WhileIdle(f func() error) (ran bool, err error) {
	if !x.turn.TryLock() {
		return false, nil
	}
	defer x.turn.Unlock()
	return true, f()
}

func (x *Executor) tell(t *events.Transaction, p events.Progress) {
	p.Transaction, p.Steps, p.Time = t.ID, len(t.Plan.Steps), x.scribe.Now()
	x.cfg.Tell(p)
}
