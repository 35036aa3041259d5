// Package planner turns what was asked for into the exact plan of what would
// happen, by asking apt itself.
//
// It promises that planning changes nothing on the machine (but may fetch package
// lists when there are none), that every plan it records can be made again by
// [Planner.Make] and then has the same id as long as the machine is the same,
// and that what cannot be planned is refused with a reason and a hint.
package planner

import (
	"context"
	"errors"
	"sync"

	"cortex/consumers/keeper"
	"cortex/consumers/policy"
	"cortex/consumers/scribe"
	"cortex/events"
)

// Machine is what the planner needs of apt and dpkg. Implementations are safe
// for concurrent use.
type Machine interface {
	Native(ctx context.Context) (events.Architecture, error)
	Inventory(ctx context.Context) (events.Inventory, error)
	Resolve(ctx context.Context, refs []events.PackageRef) error
	Simulate(ctx context.Context, steps []events.Step) (events.Plan, error)
	Offered(ctx context.Context, names []events.PackageName) (map[events.PackageKey][]events.Version, error)
	Data(ctx context.Context, names []events.PackageName) (map[events.PackageName][]string, error)
	Services(ctx context.Context, keys []events.PackageKey) ([]string, error)
	ListsEmpty() bool
	// Inputs names all that a plan is made from, as it is now; "" when it cannot.
	Inputs() string
	Refresh(ctx context.Context, tell func(events.Progress)) error
}

// Keeper looks at what dpkg's package states do not tell; see keeper.Keeper.
type Keeper interface {
	Capture(ctx context.Context) (keeper.Image, error)
	Content(s events.FileState) ([]byte, error)
}

// Debs finds and checks package files that are kept, and keeps the contents of
// files that a plan puts in place; see vault.Vault.
type Debs interface {
	Deb(k events.PackageKey, v events.Version) (events.Deb, bool)
	CheckDeb(d events.Digest) error
	Has(d events.Digest, secret bool) bool
	Put(content []byte) (events.Digest, error)
}

// Config says what the planner may do.
type Config struct {
	// MayRefresh allows fetching package lists when there are none; it needs
	// the rights to write them.
	MayRefresh bool
	// Tell receives progress; it must not block.
	Tell func(events.Progress)
}

// Planner is a worker: a requested transaction in, a planned or refused one out.
type Planner struct {
	log     events.Log
	scribe  *scribe.Scribe
	machine Machine
	keep    Keeper
	debs    Debs
	policy  policy.Judge
	cfg     Config

	mu   sync.Mutex
	made made // the newest plan, until it is carried out
}

// made is a plan, and what it was made from.
type made struct {
	by     events.TransactionID
	inputs string
	plan   events.Plan
	base   string
}

// New returns a planner.
func New(s *scribe.Scribe, m Machine, k Keeper, d Debs, j policy.Judge, cfg Config) *Planner {
	return &Planner{log: s.Log, scribe: s, machine: m, keep: k, debs: d, policy: j, cfg: cfg}
}

// Handle reacts to the fact that opened a transaction: the plan, and what policy says
// against it, become one fact, so that no yes can come between them.
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
	inputs := p.machine.Inputs()
	plan, base, err := p.Make(ctx, t)
	if err != nil {
		return p.refuse(ctx, r, t, err)
	}
	p.remember(made{t.ID, inputs, plan, base})
	verdict, rules := p.policy.Judge(policy.CaseOf(t, plan, p.scribe.Now()))
	planned, err := p.scribe.Transaction(ctx, scribe.After(r), t, &events.Planned{
		PlanID: plan.ID(), Plan: plan, Base: base, Policy: rules, Denial: verdict,
	})
	if err != nil {
		return ignoreConflict(err)
	}
	if verdict != nil {
		_, err = p.scribe.Transaction(ctx, scribe.After(planned), t, &events.Denied{Rule: verdict.Rule, Message: verdict.Message, Policy: rules})
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
	_, err := p.scribe.Transaction(ctx, scribe.After(r), t, &events.Refused{Failure: events.FailureOf(why)})
	return ignoreConflict(err)
}

// refreshLists fetches package lists when there are none, or root asked for it.
func (p *Planner) refreshLists(ctx context.Context, r events.Record, t *events.Transaction) error {
	asked := t.Intent.Options.Refresh && t.Actor.UID == 0
	reason := "there were no package lists"
	if asked {
		reason = "it was asked for"
	}
	if !p.cfg.MayRefresh || !p.machine.ListsEmpty() && !asked {
		return nil
	}
	start := p.scribe.Now()
	err := p.machine.Refresh(ctx, func(progress events.Progress) {
		progress.Transaction = t.ID
		p.cfg.Tell(progress)
	})
	if err != nil {
		return err
	}
	_, err = p.scribe.Append(ctx, scribe.After(r), events.MachineSubject(p.log.Host()), &events.IndexesRefreshed{
		Reason: reason, DurationMs: p.scribe.Now().Sub(start).Milliseconds(),
	}, events.Anything)
	return err
}

// Make computes the plan of a transaction against the machine as it is now, and
// the hash of the inventory it was made on.
func (p *Planner) Make(ctx context.Context, t *events.Transaction) (events.Plan, string, error) {
	now, err := p.machine.Inventory(ctx)
	if err != nil {
		return events.Plan{}, "", err
	}
	var plan events.Plan
	switch t.Intent.Verb {
	case events.VerbUndo, events.VerbRedo, events.VerbRollback:
		plan, err = p.undo(ctx, t.Intent, now)
	case events.VerbImport:
		plan, err = p.imports(ctx, t.Intent, now)
	case events.VerbObserved:
		err = &events.Error{Op: "planner.Make", Kind: events.ErrInternal, Err: errors.New("what somebody else did is not planned")}
	case events.VerbInstall, events.VerbRemove, events.VerbPurge, events.VerbUpgrade, events.VerbHold, events.VerbUnhold:
		plan, err = p.forward(ctx, t.Intent, now)
	}
	if err == nil {
		err = plan.Validate()
	}
	if err != nil {
		return events.Plan{}, "", err
	}
	return plan, now.Hash(), nil
}

// remember keeps a plan for [Planner.Again].
func (p *Planner) remember(m made) {
	if m.inputs == "" || m.inputs != p.machine.Inputs() || m.by == "" {
		m = made{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.made = m
}

// Again is [Planner.Make] for a plan that is about to be carried out: while all that it
// was made from is as it was, apt would say the same again, and is not asked. What takes
// something back is made from more than apt reads, and is always made again.
func (p *Planner) Again(ctx context.Context, t *events.Transaction) (events.Plan, string, error) {
	p.mu.Lock()
	m := p.made
	p.mu.Unlock()
	if m.by == t.ID && !t.Intent.Verb.TakesBack() && t.Intent.Verb != events.VerbImport && m.inputs == p.machine.Inputs() {
		return m.plan, m.base, nil
	}
	return p.Make(ctx, t)
}

// forward plans what names packages.
func (p *Planner) forward(ctx context.Context, in events.Intent, now events.Inventory) (events.Plan, error) {
	step := events.Step{
		Op: events.Op(in.Verb), Reinstall: in.Options.Reinstall,
		NoRecommends: in.Options.NoRecommends, AllowHeld: in.Options.AllowHeld,
	}
	for _, ref := range in.Packages {
		step.Targets = append(step.Targets, events.Target{PackageRef: ref})
		step.AllowDowngrade = step.AllowDowngrade || ref.Version != ""
	}
	plan, err := p.resolved(ctx, in.Packages, step)
	if err != nil {
		return events.Plan{}, err
	}
	if err := refuseHeld(plan, now, in.Options); err != nil {
		return events.Plan{}, err
	}
	plan.Risks, err = p.risks(ctx, plan)
	return plan, err
}

// resolved simulates a step whose names exist exactly as given. Both are asked at once:
// apt reads an unknown name as a pattern, and then what it says is thrown away.
func (p *Planner) resolved(ctx context.Context, names []events.PackageRef, step events.Step) (plan events.Plan, err error) {
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
	unknown := p.machine.Resolve(ctx, names)
	if unknown != nil {
		cancel()
	}
	if err := <-simulated; unknown == nil {
		return plan, err
	}
	return events.Plan{}, unknown
}

// refuseHeld stops a plan that would change a package on hold without leave.
func refuseHeld(plan events.Plan, now events.Inventory, o events.Options) error {
	if o.AllowHeld {
		return nil
	}
	for _, c := range plan.Changes {
		switch c.Action {
		case events.ActionHold, events.ActionUnhold, events.ActionAuto, events.ActionManual:
			continue
		case events.ActionInstall, events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall,
			events.ActionRemove, events.ActionPurge, events.ActionConfigure:
		}
		if now[c.PackageKey].Held() {
			return &events.Error{
				Op: "planner.refuseHeld", Kind: events.ErrConfirmation, Subject: string(c.Name),
				Err: errors.New("is on hold"), Hint: "pass --allow-change-held-packages to change it all the same",
			}
		}
	}
	return nil
}
