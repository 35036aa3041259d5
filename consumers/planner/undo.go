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

// maxCascade bounds how many transactions a cascade adds.
const maxCascade = 50

// planUndo plans an undo, redo or rollback. A transaction that conflicts is undone too
// if the options allow a cascade; otherwise the undo is refused.
func (p *Planner) planUndo(ctx context.Context, in events.Intent, now events.Inventory) (events.Plan, error) {
	if err := p.checkUndoable(ctx, in); err != nil {
		return events.Plan{}, err
	}
	snapshot, err := p.snapshots.Capture(ctx)
	if err != nil {
		return events.Plan{}, err
	}
	u := undoPlan{p, in, undo.CurrentState{Packages: now, Snapshot: snapshot, FindDeb: p.blobs.Deb}}
	for range maxCascade {
		plan, obstacle, err := u.plan(ctx)
		if err != nil || obstacle == nil {
			return plan, err
		}
		if !in.Options.Cascade || obstacle.owner == nil || !u.addTransaction(obstacle.owner) {
			return events.Plan{}, obstacle.err
		}
	}
	return events.Plan{}, &events.Error{Op: "planner.planUndo", Kind: events.ErrConflict, Err: fmt.Errorf("more than %d later transactions conflict", maxCascade), Hint: "see 'cortex history'; to undo everything after a transaction, run 'cortex rollback --to ID'"}
}

// undoPlan is the planning of one undo.
type undoPlan struct {
	*Planner
	intent  events.Intent
	current undo.CurrentState
}

// obstacle is a reason against the undo, and the transaction that caused it.
type obstacle struct {
	err   error
	owner *events.Transaction
}

// addTransaction adds a transaction to undo. It returns false if it is there already.
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
	inverse := undo.PlanInverse(sel, u.current, u.intent.Options.Force)
	if len(inverse.Conflicts) > 0 {
		return events.Plan{}, u.obstacleOf(ctx, sel, inverse.Conflicts[0]), nil
	}
	if err := u.checkAvailable(ctx, inverse.Steps); err != nil {
		return events.Plan{}, nil, err
	}
	for i := range inverse.Steps {
		inverse.Steps[i].AllowHeld = u.intent.Options.AllowHeld
	}
	plan, err := u.machine.Simulate(ctx, u.withHolds(inverse))
	if err != nil {
		return events.Plan{}, nil, err
	}
	if o := u.outsideChange(ctx, plan, sel); o != nil {
		return events.Plan{}, o, nil
	}
	if err := refuseHeld(plan, u.current.Packages, u.intent.Options); err != nil {
		return events.Plan{}, nil, err
	}
	return u.describe(ctx, plan, sel, inverse), nil, nil
}

// withHolds adds a hold on every package that returns to an older version, if the
// options ask for it.
func (u *undoPlan) withHolds(inverse undo.Inverse) []events.Step {
	if !u.intent.Options.Hold {
		return inverse.Steps
	}
	hold := events.Step{Op: events.OpHold}
	for _, s := range inverse.Steps {
		for _, t := range s.Targets {
			if s.Op == events.OpInstall && !t.Remove && u.current.Packages[keyOf(t)].Installed() {
				hold.Targets = append(hold.Targets, events.Target{PackageRef: events.PackageRef{Name: t.Name, Arch: t.Arch}})
			}
		}
	}
	if len(hold.Targets) == 0 {
		return inverse.Steps
	}
	return append(inverse.Steps, hold)
}

func keyOf(t events.Target) events.PackageKey { return events.PackageKey{Name: t.Name, Arch: t.Arch} }

// describe adds what a user needs to know before approving.
func (u *undoPlan) describe(ctx context.Context, plan events.Plan, sel undo.MergedEffects, inverse undo.Inverse) events.Plan {
	if len(plan.Changes) == 0 && len(inverse.Steps) > 0 && restoresState(inverse.Steps) {
		plan.Steps = inverse.Steps
	}
	if plan.Empty() {
		plan.Steps = nil
	}
	plan.Residue = append(inverse.Residue, u.remainingAccounts(sel)...)
	for _, unknown := range sel.UnknownFields {
		plan.Residue = append(plan.Residue, unknown.String())
	}
	for _, t := range sel.Transactions {
		plan.Undoes = append(plan.Undoes, t.ID)
		for _, risk := range t.Plan.Risks {
			plan.Notes = append(plan.Notes, "not restored: "+risk)
		}
	}
	if !sel.HasSnapshot {
		plan.Notes = append(plan.Notes, "there is no snapshot of the configuration from before: only packages, marks and holds are restored")
	}
	if services, err := u.machine.Services(ctx, inverse.Touched); err == nil && len(services) > 0 {
		plan.Notes = append(plan.Notes, "services affected: "+strings.Join(services, ", "))
	}
	slices.Sort(plan.Notes)
	plan.Notes = slices.Compact(plan.Notes)
	return plan
}

func restoresState(steps []events.Step) bool {
	return slices.ContainsFunc(steps, func(s events.Step) bool { return len(s.Files)+len(s.Settings) > 0 })
}

// remainingAccounts names the users and groups that the undone transactions added. An
// undo does not remove them.
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
				out = append(out, fmt.Sprintf("%s %s: added accounts are not removed", what, name))
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

// checkAvailable checks that every version and every content to restore is available.
func (u *undoPlan) checkAvailable(ctx context.Context, steps []events.Step) error {
	gone := func(kind events.ErrorKind, subject string, err error, hint string) error {
		return &events.Error{
			Op: "planner.checkAvailable", Kind: kind, Subject: subject, Err: err,
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
					return gone(events.KindOf(err), t.PackageRef.String(), fmt.Errorf("the package file cannot be read from the store: %w", err), events.HintOf(err))
				}
			}
		}
		for _, f := range s.Files {
			if f.After.Kind == events.FileRegular && !u.blobs.Has(f.After.Digest, f.After.Secret) {
				return gone(events.ErrNotFound, f.Path, errors.New("the content is no longer in the store"), "see 'cortex store verify'")
			}
		}
	}
	if err := u.machine.CheckNames(ctx, refs); err != nil {
		return gone(events.KindOf(err), "", fmt.Errorf("a replaced version is no longer available: %w", err), events.HintOf(err))
	}
	return nil
}

// checkUndoable checks that the named transactions changed something and are not
// undone yet.
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
		return &events.Error{Op: "planner.checkUndoable", Kind: kind, Subject: fmt.Sprintf("transaction %d", t.Number), Err: fmt.Errorf(format, args...), Hint: hint}
	}
	switch {
	case v == events.VerbRedo && !t.Intent.Verb.Reverts():
		return fail(events.ErrUsage, "redo reverts an undo; see 'cortex history'", "not an undo")
	case !t.State.Ran():
		return fail(events.ErrConflict, "see 'cortex history'", "nothing to undo: it is in state %s and changed nothing", t.State)
	case undone:
		return fail(events.ErrConflict, "see 'cortex history'; to apply it again, run 'cortex redo'", "already undone")
	case t.Effects().Empty():
		return fail(events.ErrConflict, "see 'cortex history'", "nothing to undo: it changed nothing")
	}
	return nil
}

// outsideChange finds a package that the undo would change although the undone
// transactions did not: later changes are not undone without being named.
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
			Op: "planner.outsideChange", Kind: events.ErrConflict, Subject: string(c.Name),
			Err:  fmt.Errorf("the undo would also %s it%s", c.Action, words),
			Hint: "undo the later transaction first, or pass --cascade to undo both; see 'cortex history --package " + string(c.Name) + "'",
		}}
	}
	return nil
}

func (u *undoPlan) obstacleOf(ctx context.Context, sel undo.MergedEffects, c undo.Conflict) *obstacle {
	hint := "undo the later transaction first, or pass --cascade to undo both; see 'cortex history --package " + string(c.Name) + "'"
	changed := func(e events.Effects) bool { return changesPackage(e, c.PackageKey) }
	if c.Path != "" {
		hint = "to restore it anyway, pass --force " + c.Path + "; its present content is stored, and 'cortex undo' brings it back"
		changed = func(e events.Effects) bool {
			return slices.ContainsFunc(e.Files, func(f events.FileChange) bool { return f.Path == c.Path })
		}
	}
	owner, words := u.latestChanger(ctx, u.conflictsSince(sel), changed)
	return &obstacle{owner: owner, err: &events.Error{
		Op: "planner.obstacleOf", Kind: events.ErrConflict, Subject: c.Subject(), Err: fmt.Errorf("%s%s", c, words), Hint: hint,
	}}
}

// conflictsSince returns the position after which a conflicting change was made: the
// last fact of the first undone transaction.
func (u *undoPlan) conflictsSince(sel undo.MergedEffects) events.Position {
	if t := sel.Target(); t.LastPosition != 0 {
		return t.LastPosition
	}
	return sel.Last
}

func changesPackage(e events.Effects, k events.PackageKey) bool {
	return slices.ContainsFunc(e.Changes, func(c events.PackageChange) bool { return c.PackageKey == k })
}

// latestChanger finds the latest transaction that changed an element after a position,
// and words that name it; nil and "" if no recorded change did.
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
			break // the name is only for a message
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
