package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cortex/consumers/undo"
	"cortex/events"
)

// maxCascade bounds how often what stands in the way is taken back too.
const maxCascade = 50

// planUndo plans the way back from what the intent names. What stands in the way is
// refused, or with leave to cascade taken back too.
func (p *Planner) planUndo(ctx context.Context, in events.Intent, now events.Inventory) (events.Plan, error) {
	if err := p.checkUndoable(ctx, in); err != nil {
		return events.Plan{}, err
	}
	img, err := p.snapshots.Capture(ctx)
	if err != nil {
		return events.Plan{}, err
	}
	u := undoPlan{p, in, undo.CurrentState{Packages: now, Snapshot: img, FindDeb: p.blobs.Deb}}
	for range maxCascade {
		plan, obstacle, err := u.plan(ctx)
		if err != nil || obstacle == nil {
			return plan, err
		}
		if !in.Options.Cascade || obstacle.owner == nil || !u.addTransaction(obstacle.owner) {
			return events.Plan{}, obstacle.err
		}
	}
	return events.Plan{}, &events.Error{Op: "planner.undo", Kind: events.ErrConflict, Err: errors.New("too much stands in the way"), Hint: "see 'cortex history'; 'cortex rollback --to ID' takes back everything after a transaction"}
}

// undoPlan is one undo being planned.
type undoPlan struct {
	*Planner
	intent  events.Intent
	current undo.CurrentState
}

// obstacle is what stands in the way, and whose it is.
type obstacle struct {
	err   error
	owner *events.Transaction
}

// addTransaction adds a transaction to what is taken back; false when it is in it.
func (u *undoPlan) addTransaction(t *events.Transaction) bool {
	if u.intent.Verb == events.VerbRollback || t.ID == u.intent.Target || slices.Contains(u.intent.AlsoUndo, t.ID) {
		return false
	}
	u.intent.AlsoUndo = append(slices.Clone(u.intent.AlsoUndo), t.ID)
	return true
}

func (u *undoPlan) plan(ctx context.Context) (events.Plan, *obstacle, error) {
	sel, err := undo.MergeEffects(ctx, u.log, u.intent)
	if err != nil {
		return events.Plan{}, nil, err
	}
	if len(sel.UnknownKinds) > 0 {
		return events.Plan{}, nil, sel.UnknownKinds[0].Error("", string(u.intent.Verb))
	}
	way := undo.PlanInverse(sel, u.current, u.intent.Options.Force)
	if len(way.Conflicts) > 0 {
		return events.Plan{}, u.obstacleOf(ctx, sel, way.Conflicts[0]), nil
	}
	if err := u.checkAvailable(ctx, way.Steps); err != nil {
		return events.Plan{}, nil, err
	}
	for i := range way.Steps {
		way.Steps[i].AllowHeld = u.intent.Options.AllowHeld
	}
	plan, err := u.machine.Simulate(ctx, u.withHolds(way))
	if err != nil {
		return events.Plan{}, nil, err
	}
	if o := u.outsideChange(ctx, plan, sel); o != nil {
		return events.Plan{}, o, nil
	}
	if err := refuseHeld(plan, u.current.Packages, u.intent.Options); err != nil {
		return events.Plan{}, nil, err
	}
	return u.describe(ctx, plan, sel, way), nil, nil
}

// withHolds adds a hold on everything that goes back to an older version, when
// that was asked for.
func (u *undoPlan) withHolds(way undo.Inverse) []events.Step {
	if !u.intent.Options.Hold {
		return way.Steps
	}
	hold := events.Step{Op: events.OpHold}
	for _, s := range way.Steps {
		for _, t := range s.Targets {
			if s.Op == events.OpInstall && !t.Remove && u.current.Packages[keyOf(t)].Installed() {
				hold.Targets = append(hold.Targets, events.Target{PackageRef: events.PackageRef{Name: t.Name, Arch: t.Arch}})
			}
		}
	}
	if len(hold.Targets) == 0 {
		return way.Steps
	}
	return append(way.Steps, hold)
}

func keyOf(t events.Target) events.PackageKey { return events.PackageKey{Name: t.Name, Arch: t.Arch} }

// describe adds what people want to know before they say yes.
func (u *undoPlan) describe(ctx context.Context, plan events.Plan, sel undo.MergedEffects, way undo.Inverse) events.Plan {
	if len(plan.Changes) == 0 && len(way.Steps) > 0 && restoresState(way.Steps) {
		plan.Steps = way.Steps
	}
	if plan.Empty() {
		plan.Steps = nil
	}
	plan.Residue = append(way.Residue, u.remainingAccounts(sel)...)
	for _, unknown := range sel.UnknownFields {
		plan.Residue = append(plan.Residue, unknown.String())
	}
	for _, t := range sel.Transactions {
		plan.Undoes = append(plan.Undoes, t.ID)
		for _, risk := range t.Plan.Risks {
			plan.Notes = append(plan.Notes, "not part of what is restored: "+risk)
		}
	}
	if !sel.HasSnapshot {
		plan.Notes = append(plan.Notes, "no image of the configuration was taken before: only packages, marks and holds are restored")
	}
	if services, err := u.machine.Services(ctx, way.Touched); err == nil && len(services) > 0 {
		plan.Notes = append(plan.Notes, "services affected: "+strings.Join(services, ", "))
	}
	slices.Sort(plan.Notes)
	plan.Notes = slices.Compact(plan.Notes)
	return plan
}

func restoresState(steps []events.Step) bool {
	return slices.ContainsFunc(steps, func(s events.Step) bool { return len(s.Files)+len(s.Settings) > 0 })
}

// remainingAccounts names the users and groups that stay although they came with what is
// taken back.
func (u *undoPlan) remainingAccounts(sel undo.MergedEffects) []string {
	var out []string
	for _, c := range sel.Files {
		what, ok := map[string]string{"/etc/passwd": "user", "/etc/group": "group"}[c.Path]
		if !ok {
			continue
		}
		before, err1 := u.snapshots.Content(c.Before)
		after, err2 := u.snapshots.Content(c.After)
		if err1 != nil || err2 != nil {
			out = append(out, c.Path+": accounts are not restored")
			continue
		}
		was := accountNames(before)
		for _, name := range accountNames(after) {
			if !slices.Contains(was, name) {
				out = append(out, fmt.Sprintf("%s %s: accounts that were added stay", what, name))
			}
		}
	}
	return out
}

func accountNames(b []byte) []string {
	var out []string
	for line := range strings.Lines(string(b)) {
		if name, _, ok := strings.Cut(line, ":"); ok {
			out = append(out, name)
		}
	}
	return out
}

// checkAvailable checks that every version and every content that is brought back can
// be had, before anything runs.
func (u *undoPlan) checkAvailable(ctx context.Context, steps []events.Step) error {
	gone := func(kind events.ErrorKind, subject string, err error, hint string) error {
		return &events.Error{
			Op: "planner.available", Kind: kind, Subject: subject, Err: err,
			Hint: strings.TrimPrefix(hint+"; nothing was changed; add a source that still offers it", "; "),
		}
	}
	var refs []events.PackageRef
	for _, s := range steps {
		for _, t := range s.Targets {
			switch {
			case s.Op != events.OpInstall || t.Remove:
			case t.Deb == "":
				refs = append(refs, t.PackageRef)
			default:
				if err := u.blobs.CheckDeb(t.Deb); err != nil {
					return gone(events.KindOf(err), t.PackageRef.String(), fmt.Errorf("its package file cannot be had from the store: %w", err), events.HintOf(err))
				}
			}
		}
		for _, f := range s.Files {
			if f.After.Kind == events.FileRegular && !u.blobs.Has(f.After.Digest, f.After.Secret) {
				return gone(events.ErrNotFound, f.Path, errors.New("its content is not in the store any more"), "see 'cortex store verify'")
			}
		}
	}
	if err := u.machine.CheckNames(ctx, refs); err != nil {
		return gone(events.KindOf(err), "", fmt.Errorf("a version that was replaced cannot be had any more: %w", err), events.HintOf(err))
	}
	return nil
}

// checkUndoable checks that there is something to take back, and that it was not.
func (p *Planner) checkUndoable(ctx context.Context, in events.Intent) error {
	if in.Verb == events.VerbRollback {
		return nil
	}
	for _, id := range append([]events.TransactionID{in.Target}, in.AlsoUndo...) {
		t, err := events.LoadTransaction(ctx, p.log, id)
		if err != nil {
			return err
		}
		undone, err := events.IsUndone(ctx, p.log, t)
		if err != nil {
			return err
		}
		if err := checkTransactionUndoable(in.Verb, t, undone); err != nil {
			return err
		}
	}
	return nil
}

func checkTransactionUndoable(v events.Verb, t *events.Transaction, undone bool) error {
	if u, ok := t.UndoBlocker(); ok {
		return u.Error(fmt.Sprintf("transaction %d", t.Number), string(v))
	}
	fail := func(kind events.ErrorKind, hint, format string, args ...any) error {
		return &events.Error{Op: "planner.undoable", Kind: kind, Subject: fmt.Sprintf("transaction %d", t.Number), Err: fmt.Errorf(format, args...), Hint: hint}
	}
	switch {
	case v == events.VerbRedo && !t.Intent.Verb.Reverts():
		return fail(events.ErrUsage, "redo takes back an undo; see 'cortex history'", "is not an undo")
	case !t.State.Ran():
		return fail(events.ErrConflict, "see 'cortex history'", "it changed nothing: it is %s", t.State)
	case undone:
		return fail(events.ErrConflict, "see 'cortex history'; 'cortex redo' does it again", "it was undone already")
	case t.Effects().Empty():
		return fail(events.ErrConflict, "see 'cortex history'", "it changed nothing")
	}
	return nil
}

// outsideChange finds packages that the way back would touch and that were not
// touched by what is taken back: what came later stays.
func (u *undoPlan) outsideChange(ctx context.Context, plan events.Plan, sel undo.MergedEffects) *obstacle {
	known := map[events.PackageKey]bool{}
	for _, c := range sel.Changes {
		known[c.PackageKey] = true
	}
	for _, c := range plan.Changes {
		if known[c.PackageKey] {
			continue
		}
		owner, words := u.latestChanger(ctx, sel.Last, func(e events.Effects) bool { return changesPackage(e, c.PackageKey) })
		return &obstacle{owner: owner, err: &events.Error{
			Op: "planner.contained", Kind: events.ErrConflict, Subject: string(c.Name),
			Err:  fmt.Errorf("undoing would also %s it%s", c.Action, words),
			Hint: "undo the later transaction first, or pass --cascade to undo both; see 'cortex history --package " + string(c.Name) + "'",
		}}
	}
	return nil
}

func (u *undoPlan) obstacleOf(ctx context.Context, sel undo.MergedEffects, c undo.Conflict) *obstacle {
	hint := "undo the later transaction first, or pass --cascade to undo both; see 'cortex history --package " + string(c.Name) + "'"
	changed := func(e events.Effects) bool { return changesPackage(e, c.PackageKey) }
	if c.Path != "" {
		hint = "pass --force " + c.Path + " to restore it all the same: what it holds now is kept, and comes back with 'cortex undo'"
		changed = func(e events.Effects) bool {
			return slices.ContainsFunc(e.Files, func(f events.FileChange) bool { return f.Path == c.Path })
		}
	}
	owner, words := u.latestChanger(ctx, u.conflictsSince(sel), changed)
	return &obstacle{owner: owner, err: &events.Error{
		Op: "planner.conflict", Kind: events.ErrConflict, Subject: c.Subject(), Err: fmt.Errorf("%s%s", c, words), Hint: hint,
	}}
}

// conflictsSince is the position of the first selected transaction's last fact before
// its outcome could be called undone.
func (u *undoPlan) conflictsSince(sel undo.MergedEffects) events.Position {
	if t := sel.Target(); t.LastPosition != 0 {
		return t.LastPosition
	}
	return sel.Last
}

func changesPackage(e events.Effects, k events.PackageKey) bool {
	return slices.ContainsFunc(e.Changes, func(c events.PackageChange) bool { return c.PackageKey == k })
}

// latestChanger finds the latest that changed an element after a position, and names it
// for people; nil and "" when nothing on record did.
func (u *undoPlan) latestChanger(ctx context.Context, after events.Position, changed func(events.Effects) bool) (*events.Transaction, string) {
	q := events.Query{After: after}
	for _, kind := range events.InventoryKinds {
		if kind != events.KindBaselineRecorded {
			q.Filters = append(q.Filters, events.KindFilter(u.log.Host(), kind))
		}
	}
	var owner *events.Transaction
	words := ""
	for r, err := range u.log.Read(ctx, q) {
		if err != nil {
			break // a name for a message: the refusal stands without it
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			break
		}
		if !changed(events.EffectsOf(f)) {
			continue
		}
		owner, words = nil, " (changed outside cortex, seen "+r.Time.Local().Format("2006-01-02 15:04")+")"
		if t, err := events.LoadTransaction(ctx, u.log, r.Transaction); r.Transaction != "" && err == nil {
			owner, words = t, fmt.Sprintf(" (changed by transaction %d)", t.Number)
		}
	}
	return owner, words
}
