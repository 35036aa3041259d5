// Package planner plans a requested transaction: the exact changes and steps, as apt
// itself computes them.
//
// It promises:
//
//   - Planning changes nothing on the machine, except that it fetches package lists
//     if there are none or root asked for it.
//   - [Planner.Make] makes a recorded plan again. The plan has the same id as long as
//     the machine is unchanged.
//   - A request that cannot be planned is refused, with a reason and a hint.
package planner

import (
	"context"
	"errors"
	"sync"

	"cortex/consumers/machine/confstate"
	"cortex/consumers/policy"
	"cortex/consumers/recorder"
	"cortex/events"
)

// Simulator makes plans without changing anything.
type Simulator interface {
	CheckNames(ctx context.Context, refs []events.PackageRef) error
	Simulate(ctx context.Context, steps []events.Step) (events.Plan, error)
	// InputFingerprint identifies the present content of everything that a plan is
	// made from; "" when it cannot.
	InputFingerprint() string
}

// PackageReader reads what is installed and what sources offer.
type PackageReader interface {
	NativeArch(ctx context.Context) (events.Architecture, error)
	Inventory(ctx context.Context) (events.Inventory, error)
	OfferedVersions(ctx context.Context, names []events.PackageName) (map[events.PackageKey][]events.Version, error)
	DataPaths(ctx context.Context, names []events.PackageName) (map[events.PackageName][]string, error)
	Services(ctx context.Context, keys []events.PackageKey) ([]string, error)
}

// ListRefresher fetches package lists.
type ListRefresher interface {
	ListsEmpty() bool
	Refresh(ctx context.Context, report func(events.Progress)) error
}

// PackageManager has the planner's roles; apt.Machine implements it.
// Implementations are safe for concurrent use.
type PackageManager interface {
	Simulator
	PackageReader
	ListRefresher
}

// ConfigReader captures configuration files and settings; confstate.Snapshots
// implements it.
type ConfigReader interface {
	Capture(ctx context.Context) (confstate.Snapshot, error)
	Content(s events.FileState) ([]byte, error)
}

// BlobStore finds and checks stored package files, and stores the contents of files
// that a plan puts in place; blobstore.Blobs implements it.
type BlobStore interface {
	Deb(k events.PackageKey, v events.Version) (events.Deb, bool)
	CheckDeb(d events.Digest) error
	Has(d events.Digest, secret bool) bool
	Put(content []byte) (events.Digest, error)
}

// Config configures a planner.
type Config struct {
	// MayRefresh allows fetching package lists; it needs the permission to write
	// them.
	MayRefresh bool
	// OnProgress receives progress; it must not block.
	OnProgress func(events.Progress)
}

// Planner handles a requested transaction and records its plan, or refuses it.
type Planner struct {
	log       events.Log
	recorder  *recorder.Recorder
	machine   PackageManager
	snapshots ConfigReader
	blobs     BlobStore
	policy    policy.Evaluator
	cfg       Config

	mu     sync.Mutex
	cached cachedPlan // the newest plan
}

// cachedPlan is a plan and the fingerprint of its inputs.
type cachedPlan struct {
	transaction      events.TransactionID
	inputFingerprint string
	plan             events.Plan
	inventoryHash    string
}

// New returns a planner.
func New(s *recorder.Recorder, m PackageManager, k ConfigReader, d BlobStore, j policy.Evaluator, cfg Config) *Planner {
	return &Planner{log: s.Log, recorder: s, machine: m, snapshots: k, blobs: d, policy: j, cfg: cfg}
}

// Handle plans a transaction that was just opened. Plan and policy's denial are one
// fact, so that no approval can come between them.
func (p *Planner) Handle(ctx context.Context, r events.Record) error {
	t, err := events.LoadTransaction(ctx, p.log, r.Transaction)
	if err != nil {
		return err
	}
	if t.State != events.StateRequested {
		return nil
	}
	if err := p.refreshLists(ctx, r, t); err != nil {
		return p.refuse(ctx, r, t, err)
	}
	inputs := p.machine.InputFingerprint()
	plan, base, err := p.Make(ctx, t)
	if err != nil {
		return p.refuse(ctx, r, t, err)
	}
	p.cachePlan(cachedPlan{t.ID, inputs, plan, base})
	denial, rules := p.policy.Evaluate(policy.InputFor(t, plan, p.recorder.Now()))
	planned, err := p.recorder.AppendToTransaction(ctx, recorder.CausedBy(r), t, &events.Planned{
		PlanID: plan.ID(), Plan: plan, InventoryHash: base, PolicyVersion: rules, Denial: denial,
	})
	if err != nil {
		return ignoreConflict(err)
	}
	if denial != nil {
		_, err = p.recorder.AppendToTransaction(ctx, recorder.CausedBy(planned), t, &events.Denied{Rule: denial.Rule, Message: denial.Message, PolicyVersion: rules})
	}
	return ignoreConflict(err)
}

func ignoreConflict(err error) error {
	if errors.Is(err, events.ErrConflict) {
		return nil
	}
	return err
}

func (p *Planner) refuse(ctx context.Context, r events.Record, t *events.Transaction, why error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	_, err := p.recorder.AppendToTransaction(ctx, recorder.CausedBy(r), t, &events.Refused{Failure: events.FailureOf(why)})
	return ignoreConflict(err)
}

// refreshLists fetches package lists if there are none or root asked for it.
func (p *Planner) refreshLists(ctx context.Context, r events.Record, t *events.Transaction) error {
	requested := t.Intent.Options.Refresh && t.Actor.UID == 0
	reason := "there were no package lists"
	if requested {
		reason = "the request asked for it"
	}
	if !p.cfg.MayRefresh || !p.machine.ListsEmpty() && !requested {
		return nil
	}
	start := p.recorder.Now()
	err := p.machine.Refresh(ctx, func(progress events.Progress) {
		progress.Transaction = t.ID
		p.cfg.OnProgress(progress)
	})
	if err != nil {
		return err
	}
	_, err = p.recorder.Append(ctx, recorder.CausedBy(r), events.MachineSubject(p.log.Host()), &events.IndexesRefreshed{
		Reason: reason, DurationMs: p.recorder.Now().Sub(start).Milliseconds(),
	}, events.NoExpectation)
	return err
}

// Make returns the plan of a transaction for the present state of the machine, and the
// hash of the inventory that it was made from.
func (p *Planner) Make(ctx context.Context, t *events.Transaction) (events.Plan, string, error) {
	now, err := p.machine.Inventory(ctx)
	if err != nil {
		return events.Plan{}, "", err
	}
	var plan events.Plan
	switch t.Intent.Verb {
	case events.VerbUndo, events.VerbRedo, events.VerbRollback:
		plan, err = p.planUndo(ctx, t.Intent, now)
	case events.VerbImport:
		plan, err = p.planImport(ctx, t.Intent, now)
	case events.VerbObserved:
		err = &events.Error{Op: "planner.Make", Kind: events.ErrInternal, Err: errors.New("a change that was made outside cortex cannot be planned")}
	case events.VerbInstall, events.VerbRemove, events.VerbPurge, events.VerbUpgrade, events.VerbHold, events.VerbUnhold:
		plan, err = p.planPackages(ctx, t.Intent, now)
	}
	if err == nil {
		err = plan.Validate()
	}
	if err != nil {
		return events.Plan{}, "", err
	}
	return plan, now.Hash(), nil
}

// cachePlan stores a plan for [Planner.Replan].
func (p *Planner) cachePlan(m cachedPlan) {
	if m.inputFingerprint == "" || m.inputFingerprint != p.machine.InputFingerprint() || m.transaction == "" {
		m = cachedPlan{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cached = m
}

// Replan is [Planner.Make] for a plan that is about to be carried out. It returns the
// cached plan if its inputs are unchanged. Undo, rollback and import have inputs that
// the fingerprint does not cover; their plans are always made again.
func (p *Planner) Replan(ctx context.Context, t *events.Transaction) (events.Plan, string, error) {
	p.mu.Lock()
	m := p.cached
	p.mu.Unlock()
	if m.transaction == t.ID && !t.Intent.Verb.Reverts() && t.Intent.Verb != events.VerbImport && m.inputFingerprint == p.machine.InputFingerprint() {
		return m.plan, m.inventoryHash, nil
	}
	return p.Make(ctx, t)
}

// planPackages plans a request that names packages.
func (p *Planner) planPackages(ctx context.Context, in events.Intent, now events.Inventory) (events.Plan, error) {
	step := events.Step{
		Op: events.Op(in.Verb), Reinstall: in.Options.Reinstall,
		NoRecommends: in.Options.NoRecommends, AllowHeld: in.Options.AllowHeld,
	}
	for _, ref := range in.Packages {
		step.Targets = append(step.Targets, events.Target{PackageRef: ref})
		step.AllowDowngrade = step.AllowDowngrade || ref.Version != ""
	}
	plan, err := p.simulateChecked(ctx, in.Packages, step)
	if err != nil {
		return events.Plan{}, err
	}
	if err := refuseHeld(plan, now, in.Options); err != nil {
		return events.Plan{}, err
	}
	plan.Risks, err = p.risks(ctx, plan)
	return plan, err
}

// simulateChecked simulates a step after it checked that every name exists exactly as
// given. Both run at once: apt reads an unknown name as a pattern, so the result of
// the simulation is dropped if a name is unknown.
func (p *Planner) simulateChecked(ctx context.Context, names []events.PackageRef, step events.Step) (plan events.Plan, err error) {
	for _, r := range names {
		if err := r.Validate(); err != nil {
			return events.Plan{}, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	simulated := make(chan error, 1)
	go func() {
		var err error
		plan, err = p.machine.Simulate(ctx, []events.Step{step})
		simulated <- err
	}()
	unknown := p.machine.CheckNames(ctx, names)
	if unknown != nil {
		cancel()
	}
	if err := <-simulated; unknown == nil {
		return plan, err
	}
	return events.Plan{}, unknown
}

// refuseHeld refuses a plan that changes a package on hold, unless the options allow
// it.
func refuseHeld(plan events.Plan, now events.Inventory, o events.Options) error {
	if o.AllowHeld {
		return nil
	}
	for _, c := range plan.Changes {
		switch c.Action {
		case events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual:
			continue
		case events.ActionInstall, events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall,
			events.ActionRemove, events.ActionPurge, events.ActionConfigure:
		}
		if now[c.PackageKey].Held() {
			return &events.Error{
				Op: "planner.refuseHeld", Kind: events.ErrConfirmation, Subject: string(c.Name),
				Err: errors.New("the package is on hold"), Hint: "to change it anyway, pass --allow-change-held-packages",
			}
		}
	}
	return nil
}
