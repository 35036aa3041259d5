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
	"fmt"
	"strings"

	"cortex/consumers/scribe"
	"cortex/consumers/undoer"
	"cortex/events"
)

// Machine is what the planner needs of apt and dpkg. Implementations are safe
// for concurrent use.
type Machine interface {
	Inventory(ctx context.Context) (events.Inventory, error)
	Resolve(ctx context.Context, refs []events.PackageRef) error
	Simulate(ctx context.Context, steps []events.Step) (events.Plan, error)
	Conffiles(ctx context.Context, names []events.PackageName) (map[events.PackageName][]string, error)
	ListsEmpty() bool
	Refresh(ctx context.Context, tell func(events.Progress)) error
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
	cfg     Config
}

// New returns a planner.
func New(s *scribe.Scribe, m Machine, cfg Config) *Planner {
	return &Planner{log: s.Log, scribe: s, machine: m, cfg: cfg}
}

// Handle reacts to the fact that opened a transaction.
func (p *Planner) Handle(ctx context.Context, r events.Record) error {
	t, err := events.LoadTransaction(ctx, p.log, r.Transaction)
	if err != nil {
		return err
	}
	if t.State != events.StateRequested {
		return nil
	}
	if err := p.refreshEmptyLists(ctx, r, t); err != nil {
		return p.refuse(ctx, r, t, err)
	}
	plan, base, err := p.Make(ctx, t)
	if err != nil {
		return p.refuse(ctx, r, t, err)
	}
	planned, err := p.scribe.Transaction(ctx, scribe.After(r), t, &events.Planned{PlanID: plan.ID(), Plan: plan, Base: base})
	if err != nil {
		return ignoreConflict(err)
	}
	if essential := essentialRemovals(plan); len(essential) > 0 {
		_, err = p.scribe.Transaction(ctx, scribe.After(planned), t, &events.Denied{
			Rule:    "essential-packages",
			Message: "the plan removes essential packages: " + strings.Join(essential, ", "),
		})
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

func essentialRemovals(plan events.Plan) []string {
	var out []string
	for _, c := range plan.Changes {
		if c.Essential && (c.Action == events.ActionRemove || c.Action == events.ActionPurge) {
			out = append(out, string(c.Name))
		}
	}
	return out
}

func (p *Planner) refreshEmptyLists(ctx context.Context, r events.Record, t *events.Transaction) error {
	if !p.cfg.MayRefresh || !p.machine.ListsEmpty() {
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
		Reason: "there were no package lists", DurationMs: p.scribe.Now().Sub(start).Milliseconds(),
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
	case events.VerbUndo, events.VerbRedo:
		plan, err = p.undo(ctx, t.Intent, now)
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

// forward plans what names packages.
func (p *Planner) forward(ctx context.Context, in events.Intent, now events.Inventory) (events.Plan, error) {
	if err := p.machine.Resolve(ctx, in.Packages); err != nil {
		return events.Plan{}, err
	}
	step := events.Step{
		Op: events.Op(in.Verb), Reinstall: in.Options.Reinstall,
		NoRecommends: in.Options.NoRecommends, AllowHeld: in.Options.AllowHeld,
	}
	for _, ref := range in.Packages {
		step.Targets = append(step.Targets, events.Target{PackageRef: ref})
		step.AllowDowngrade = step.AllowDowngrade || ref.Version != ""
	}
	plan, err := p.machine.Simulate(ctx, []events.Step{step})
	if err != nil {
		return events.Plan{}, err
	}
	if err := refuseHeld(plan, now, in.Options); err != nil {
		return events.Plan{}, err
	}
	plan.Residue, err = p.purged(ctx, plan)
	return plan, err
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

// purged says which configuration files a plan deletes for good.
func (p *Planner) purged(ctx context.Context, plan events.Plan) ([]string, error) {
	var names []events.PackageName
	for _, c := range plan.Changes {
		if c.Action == events.ActionPurge {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	files, err := p.machine.Conffiles(ctx, names)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range names {
		if len(files[name]) > 0 {
			out = append(out, fmt.Sprintf("%s: the content of its configuration files (%s)", name, strings.Join(files[name], ", ")))
		}
	}
	return out, nil
}

// undo plans the way back from the transaction that the intent names.
func (p *Planner) undo(ctx context.Context, in events.Intent, now events.Inventory) (events.Plan, error) {
	target, err := events.LoadTransaction(ctx, p.log, in.Target)
	if err != nil {
		return events.Plan{}, err
	}
	if err := undoable(in.Verb, target); err != nil {
		return events.Plan{}, err
	}
	way := undoer.Compute(target.Changes, now)
	if len(way.Conflicts) > 0 {
		return events.Plan{}, p.conflict(ctx, target, way.Conflicts[0])
	}
	if err := p.machine.Resolve(ctx, installs(way.Steps)); err != nil {
		return events.Plan{}, &events.Error{
			Op: "planner.undo", Kind: events.KindOf(err), Err: fmt.Errorf("a version that was replaced cannot be had any more: %w", err),
			Hint: strings.TrimPrefix(events.HintOf(err)+"; nothing was changed; add a source that still offers it", "; "),
		}
	}
	for i := range way.Steps {
		way.Steps[i].AllowHeld = in.Options.AllowHeld
	}
	plan, err := p.machine.Simulate(ctx, way.Steps)
	if err != nil {
		return events.Plan{}, err
	}
	if err := p.contained(ctx, plan, target); err != nil {
		return events.Plan{}, err
	}
	if err := refuseHeld(plan, now, in.Options); err != nil {
		return events.Plan{}, err
	}
	plan.Residue = append(way.Residue, target.Plan.Residue...)
	return plan, nil
}

func installs(steps []events.Step) []events.PackageRef {
	var refs []events.PackageRef
	for _, s := range steps {
		for _, target := range s.Targets {
			if s.Op == events.OpInstall && !target.Remove {
				refs = append(refs, target.PackageRef)
			}
		}
	}
	return refs
}

// undoable checks that there is something to take back, and that it was not.
func undoable(v events.Verb, t *events.Transaction) error {
	fail := func(kind events.ErrorKind, hint, format string, args ...any) error {
		return &events.Error{Op: "planner.undoable", Kind: kind, Subject: fmt.Sprintf("transaction %d", t.Number), Err: fmt.Errorf(format, args...), Hint: hint}
	}
	switch {
	case v == events.VerbRedo && t.Intent.Verb != events.VerbUndo:
		return fail(events.ErrUsage, "redo takes back an undo; see 'cortex history'", "is not an undo")
	case !t.State.Ran():
		return fail(events.ErrConflict, "see 'cortex history'", "it changed nothing: it is %s", t.State)
	case t.CompensatedBy != "":
		return fail(events.ErrConflict, "see 'cortex history'; 'cortex redo' does it again", "it was undone already")
	case len(t.Changes) == 0:
		return fail(events.ErrConflict, "see 'cortex history'", "it changed nothing")
	}
	return nil
}

// contained refuses a way back that would touch packages the undone transaction
// did not: what came later stays.
func (p *Planner) contained(ctx context.Context, plan events.Plan, target *events.Transaction) error {
	known := map[events.PackageKey]bool{}
	for _, c := range target.Changes {
		known[c.PackageKey] = true
	}
	for _, c := range plan.Changes {
		if !known[c.PackageKey] {
			return &events.Error{
				Op: "planner.contained", Kind: events.ErrConflict, Subject: string(c.Name),
				Err:  fmt.Errorf("undoing would also %s it%s", c.Action, p.owner(ctx, c.PackageKey, target.Last)),
				Hint: "undo the later transaction first; see 'cortex history --package " + string(c.Name) + "'",
			}
		}
	}
	return nil
}

func (p *Planner) conflict(ctx context.Context, target *events.Transaction, c undoer.Conflict) error {
	return &events.Error{
		Op: "planner.conflict", Kind: events.ErrConflict, Subject: string(c.Name),
		Err:  fmt.Errorf("%s%s", c, p.owner(ctx, c.PackageKey, target.Last)),
		Hint: "undo the later transaction first; see 'cortex history --package " + string(c.Name) + "'",
	}
}

// owner names what changed the package after position p, for people; "" when
// nothing on record did.
func (p *Planner) owner(ctx context.Context, k events.PackageKey, after events.Position) string {
	q := events.Query{After: after}
	for _, kind := range events.InventoryKinds {
		q.Filters = append(q.Filters, events.KindFilter(p.log.Host(), kind))
	}
	owner := ""
	for r, err := range p.log.Read(ctx, q) {
		if err != nil {
			break // a name for a message: the refusal stands without it
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			break
		}
		for _, c := range events.ChangesOf(f) {
			if c.PackageKey != k {
				continue
			}
			owner = " (changed outside cortex, seen " + r.Time.Local().Format("2006-01-02 15:04") + ")"
			if t, err := events.LoadTransaction(ctx, p.log, r.Transaction); r.Transaction != "" && err == nil {
				owner = fmt.Sprintf(" (changed by transaction %d)", t.Number)
			}
		}
	}
	return owner
}
