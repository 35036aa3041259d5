package projectiontest

import (
	"fmt"
	"slices"

	"cortex/events"
)

// request records a request, which opens a transaction.
func (w *historyGenerator) request() {
	verb := events.Verbs[w.choose(len(events.Verbs))]
	in := events.Intent{Verb: verb, DryRun: w.chance(20), CommandLine: "cortex " + string(verb)}
	if verb == events.VerbUndo || verb == events.VerbRedo {
		targets := w.targets(verb)
		if len(targets) == 0 {
			return
		}
		in.Target = targets[w.choose(len(targets))].ID
	} else if verb == events.VerbRollback {
		in.RollbackTo = 1
	} else {
		for _, k := range w.someKeys(4) {
			in.Packages = append(in.Packages, events.PackageRef{Name: k.Name})
		}
		switch {
		case verb == events.VerbImport:
			in.Manifest, in.Packages = &events.Manifest{Packages: in.Packages}, nil
		case verb == events.VerbUpgrade && w.chance(50):
			in.Packages = nil
		}
	}
	if verb == events.VerbInstall && len(in.Packages) > 0 {
		in.Chosen = []events.Choice{{Phrase: []string{"A  cow", "a cow", "a train"}[w.choose(3)], Names: []events.PackageName{in.Packages[0].Name}}}
	}
	w.lastNumber++
	t := &events.Transaction{}
	w.appendTransactionFact(t, w.id(), &events.Requested{Number: w.lastNumber, Intent: in})
	w.open = append(w.open, t)
}

// targets returns the transactions that verb can revert. A redo reverts only undos.
func (w *historyGenerator) targets(verb events.Verb) []*events.Transaction {
	var out []*events.Transaction
	for _, t := range w.undoable {
		if t.Undoable() && (verb == events.VerbUndo || t.Intent.Verb == events.VerbUndo || t.Intent.Verb == events.VerbRollback) {
			out = append(out, t)
		}
	}
	return out
}

// advance records the next fact of a transaction.
func (w *historyGenerator) advance(t *events.Transaction) {
	switch roll := w.choose(10); {
	case t.State == events.StateRunning:
		w.run(t)
	case roll == 0:
		w.end(t, &events.Refused{Failure: w.failure()})
	case roll == 1 && t.State != events.StateApproved:
		w.end(t, &events.Cancelled{Reason: "the user declined"})
	case roll == 2 && t.State != events.StateRequested:
		w.end(t, &events.Denied{Rule: "essential-packages", Message: "no"})
	case t.State == events.StateRequested:
		plan := w.plan(t)
		w.appendTransactionFact(t, w.id(), &events.Planned{PlanID: plan.ID(), Plan: plan, InventoryHash: w.inventory.Hash()})
	case t.State == events.StatePlanned:
		w.appendTransactionFact(t, w.id(), &events.Approved{PlanID: t.PlanID, How: "prompt"})
	case w.running == nil:
		w.running = t
		w.appendTransactionFact(t, w.id(), &events.Started{PlanID: t.PlanID, InventoryHash: w.inventory.Hash()})
	}
}

// actions are the actions of planned changes.
var actions = []events.Action{
	events.ActionInstall, events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall, events.ActionRemove,
	events.ActionPurge, events.ActionConfigure, events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual,
}

func (w *historyGenerator) plan(t *events.Transaction) events.Plan {
	var keys []events.PackageKey
	for _, ref := range t.Intent.Packages {
		keys = append(keys, events.PackageKey{Name: ref.Name, Arch: "amd64"})
	}
	named := len(keys)
	if target := w.find(t.Intent.Target); target != nil {
		for _, c := range target.Changes {
			keys = append(keys, c.PackageKey)
		}
	} else {
		for _, k := range w.someKeys(3) {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	var undoes []events.TransactionID
	if t.Intent.Verb == events.VerbRollback {
		for _, x := range w.targets(events.VerbUndo) {
			undoes = append(undoes, x.ID)
		}
	}
	plan := events.Plan{Undoes: undoes[:min(3, len(undoes))], DownloadBytes: int64(w.choose(1 << 20)), DiskDelta: int64(w.choose(1<<20) - 1<<19)}
	step := events.Step{Op: events.OpInstall}
	for i, k := range keys {
		plan.Changes = append(plan.Changes, events.PlannedChange{
			PackageKey: k, Action: actions[w.choose(len(actions))], From: w.inventory[k].Version, To: "9.9-1",
			Automatic: i >= named, Origin: "Debian:12/stable", DownloadBytes: int64(w.choose(1000)), Essential: w.chance(10),
		})
		step.Targets = append(step.Targets, events.Target{PackageRef: events.PackageRef{Name: k.Name}})
	}
	plan.Steps = append(plan.Steps, step, events.Step{Op: events.OpMarkAuto, Targets: step.Targets})
	if w.chance(20) {
		plan.Residue, plan.Notes = []string{"perl: cannot be restored"}, []string{"a note"}
	}
	return plan
}

func (w *historyGenerator) find(id events.TransactionID) *events.Transaction {
	for _, t := range w.undoable {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// run records the next fact of the running transaction.
func (w *historyGenerator) run(t *events.Transaction) {
	open := len(t.Steps) > 0 && !t.Steps[len(t.Steps)-1].Done
	failed := len(t.Steps) > 0 && t.Steps[len(t.Steps)-1].Failure != nil
	switch roll := w.choose(20); {
	case roll == 0:
		w.end(t, &events.Interrupted{Changes: w.outcome(t), Files: w.files(), Settings: w.settings(), Reason: "the machine stopped", Recovered: []string{"dpkg --configure -a"}})
	case open && roll < 4:
		w.appendTransactionFact(t, w.id(), &events.StepFailed{Index: len(t.Steps) - 1, Output: "E: no\n", ExitCode: 100, Failure: w.failure(), DurationMs: int64(w.choose(5000))})
	case open && len(t.Snapshots) < len(t.Steps):
		p := &events.SnapshotTaken{Index: len(t.Steps) - 1, Snapshot: someDigest}
		if w.chance(30) {
			p.NotStored = []string{"perl 5.36.0-7"}
		}
		w.appendTransactionFact(t, w.id(), p)
	case open:
		w.appendTransactionFact(t, w.id(), &events.StepSucceeded{Index: len(t.Steps) - 1, Output: fmt.Sprintf("line %d\n", w.choose(9)), DurationMs: int64(w.choose(5000))})
	case failed:
		w.end(t, &events.Failed{Changes: w.outcome(t), Files: w.files(), Settings: w.settings(), Failure: w.failure()})
	case len(t.Steps) < len(t.Plan.Steps):
		i := len(t.Steps)
		w.appendTransactionFact(t, w.id(), &events.StepStarted{Index: i, Op: t.Plan.Steps[i].Op, Argv: []string{"apt-get", "install", "-y"}})
	default:
		w.end(t, &events.Succeeded{Changes: w.outcome(t), Files: w.files(), Settings: w.settings()})
	}
}

// outcome returns the package changes of a transaction. An undo restores the states before
// its target.
func (w *historyGenerator) outcome(t *events.Transaction) []events.PackageChange {
	if target := w.find(t.Intent.Target); target != nil {
		var out []events.PackageChange
		for _, c := range target.Changes {
			if now := w.inventory[c.PackageKey]; now != c.Before {
				out = append(out, events.PackageChange{PackageKey: c.PackageKey, Before: now, After: c.Before})
			}
		}
		return out
	}
	var keys []events.PackageKey
	for _, c := range t.Plan.Changes {
		keys = append(keys, c.PackageKey)
	}
	return w.changes(keys)
}

// end records the outcome of a transaction.
func (w *historyGenerator) end(t *events.Transaction, f events.Fact) {
	w.appendTransactionFact(t, w.id(), f)
	w.open = slices.DeleteFunc(w.open, func(o *events.Transaction) bool { return o == t })
	if w.running == t {
		w.running = nil
	}
	if !t.State.Ran() {
		return
	}
	if !t.Effects().Empty() {
		w.undoable = append(w.undoable, t)
	}
	if t.Intent.Target != "" || len(t.Plan.Undoes) > 0 {
		w.awaitingVerdict = append(w.awaitingVerdict, t)
	}
}

// compensate records the result of an undo in the transactions that it reverted.
func (w *historyGenerator) compensate() {
	i := w.choose(len(w.awaitingVerdict))
	undo := w.awaitingVerdict[i]
	w.awaitingVerdict = append(w.awaitingVerdict[:i:i], w.awaitingVerdict[i+1:]...)
	result := &events.Compensated{By: undo.ID, Exact: w.chance(70)}
	if !result.Exact {
		result.Residue = []string{"perl: differs from the state before"}
	}
	for _, id := range append([]events.TransactionID{undo.Intent.Target}, undo.Plan.Undoes...) {
		if target := w.find(id); target != nil && target.CompensatedBy == "" {
			w.appendTransactionFact(target, w.id(), result)
		}
	}
}

// someDigest is the digest of all generated contents.
const someDigest = events.Digest("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")

// files returns changes of random paths.
func (w *historyGenerator) files() []events.FileChange {
	var out []events.FileChange
	for i := range w.choose(4) {
		c := events.FileChange{Path: fmt.Sprintf("/etc/conf-%d", i), After: events.FileState{Kind: events.FileRegular, Mode: 0o644, Size: int64(w.choose(99)), Digest: someDigest}}
		if w.chance(50) {
			c.Before, c.After = c.After, events.FileState{}
		}
		out = append(out, c)
	}
	return out
}

func (w *historyGenerator) settings() []events.SettingChange {
	if w.chance(80) {
		return nil
	}
	return []events.SettingChange{{Kind: events.SettingAlternative, Name: "editor", Before: "auto", After: "manual /usr/bin/vi"}}
}

// externalChange records a transaction of another program.
func (w *historyGenerator) externalChange() {
	changes, files := w.changes(w.someKeys(3)), w.files()
	if len(changes)+len(files) == 0 {
		return
	}
	w.lastNumber++
	t := &events.Transaction{}
	w.appendTransactionFact(t, w.id(), &events.Observed{Number: w.lastNumber, Program: "apt-get", Command: "apt-get upgrade", UID: w.choose(2), Snapshot: someDigest, Changes: changes, Files: files})
	w.undoable = append(w.undoable, t)
}
