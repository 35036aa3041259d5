package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cortex/consumers/machine"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/recorder"
	"cortex/events"
)

// execution is one transaction that is being carried out.
type execution struct {
	*Executor
	t                   *events.Transaction
	cause               events.Record       // the latest fact
	inventoryBefore     events.Inventory    // right before the first step
	inventoryBeforeStep events.Inventory    // right before the present step
	lockedSnapshot      *confstate.Snapshot // taken under dpkg's lock, before the first step that touches files; nil until then
	firstSnapshot       confstate.Snapshot  // from before the first step
	unsavedVersions     []string            // replaced versions that could not be stored
	killed              bool                // a signal ended a step's program
}

// run carries out the steps up to the first that fails, and records the outcome.
func (w *execution) run(ctx context.Context) error {
	var err error
	if w.firstSnapshot, err = w.snapshots.Capture(ctx); err != nil {
		return w.recordOutcome(ctx, err)
	}
	for i, step := range w.t.Plan.Steps {
		failure, err := w.runStep(ctx, i, step)
		if err != nil {
			return err
		}
		if failure != nil {
			return w.recordOutcome(ctx, failure)
		}
	}
	return w.recordOutcome(ctx, nil)
}

// recordOutcome records the outcome: the difference that the machine shows.
func (w *execution) recordOutcome(ctx context.Context, failure error) error {
	w.reportProgress(w.t, events.Progress{Stage: events.StageVerify, Percent: -1, Message: "checking what changed"})
	if failure != nil {
		failure = w.recoverDpkg(ctx, failure)
	}
	effects, err := w.effects(ctx)
	if err != nil {
		return err
	}
	var outcome events.Fact = &events.Succeeded{Changes: effects.Changes, Files: effects.Files, Settings: effects.Settings}
	if failure != nil {
		outcome = &events.Failed{Changes: effects.Changes, Files: effects.Files, Settings: effects.Settings, Failure: events.FailureOf(failure)}
	}
	_, err = w.recorder.AppendToTransaction(ctx, recorder.CausedBy(w.cause), w.t, outcome)
	return err
}

// recoverDpkg brings an interrupted dpkg back to a consistent state, and adds that to
// the failure.
func (w *execution) recoverDpkg(ctx context.Context, failure error) error {
	interrupted, err := w.machine.DpkgInterrupted(ctx)
	if err != nil || !interrupted && !w.killed {
		return failure
	}
	did, err := w.machine.Recover(ctx)
	if err == nil && len(did) == 0 {
		return failure // the program died between two changes
	}
	words := "dpkg was interrupted and was repaired: " + strings.Join(did, "; ")
	if err != nil {
		words = fmt.Sprintf("dpkg was interrupted and could not be repaired: %v", err)
	}
	return &events.Error{Op: "executor.recoverDpkg", Kind: events.KindOf(failure), Err: fmt.Errorf("%w; %s", failure, words), Hint: events.HintOf(failure)}
}

func (w *execution) effects(ctx context.Context) (events.Effects, error) {
	var snapshot confstate.Snapshot
	captured := make(chan error, 1)
	go func() { // at the same time as dpkg-query
		var err error
		snapshot, err = w.snapshots.Capture(ctx)
		captured <- err
	}()
	after, err := w.machine.Inventory(ctx)
	failed := <-captured
	if err != nil {
		return events.Effects{}, err
	}
	e := events.Effects{Changes: events.DiffInventories(w.inventoryBefore, after)}
	if w.lockedSnapshot == nil && len(e.Changes) == 0 {
		return e, nil // a snapshot that failed does not matter: nothing changed
	}
	if failed != nil {
		return e, failed
	}
	base := w.firstSnapshot
	if w.lockedSnapshot != nil {
		base.Files = w.lockedSnapshot.Files // taken under dpkg's lock
	}
	e.Files, e.Settings = confstate.Diff(base, snapshot)
	e.Files = e.Files[:min(len(e.Files), events.MaxFilesPerEvent)]
	e.Settings = e.Settings[:min(len(e.Settings), events.MaxSettingsPerEvent)]
	return e, nil
}

// runStep records the start of a step, runs it and records its end. failure is the
// step's own; err means that the end is not recorded.
func (w *execution) runStep(ctx context.Context, i int, s events.Step) (failure, err error) {
	argv := w.machine.StepArgv(s)
	w.cause, err = w.recorder.AppendToTransaction(ctx, recorder.CausedBy(w.cause), w.t, &events.StepStarted{Index: i, Op: s.Op, Argv: argv})
	if err != nil {
		return nil, err
	}
	if w.inventoryBeforeStep, err = w.machine.Inventory(ctx); err != nil {
		return nil, err
	}
	start := w.recorder.Now()
	var result machine.StepResult
	if s.Op == events.OpRestore {
		failure = w.runRestore(ctx, i, s)
		result.Duration, result.ExitCode = w.recorder.Now().Sub(start), -1
	} else {
		result, failure = w.runProgram(ctx, i, s)
		w.killed = w.killed || failure != nil && len(result.Argv) > 0 && result.ExitCode < 0
	}
	if ctx.Err() != nil {
		return nil, ctx.Err() // apt keeps running; the next start records its end
	}
	var fact events.Fact = &events.StepSucceeded{Index: i, Output: result.Output, DurationMs: result.Duration.Milliseconds()}
	if failure != nil {
		fact = &events.StepFailed{
			Index: i, Output: result.Output, DurationMs: result.Duration.Milliseconds(),
			ExitCode: result.ExitCode, Failure: events.FailureOf(failure),
		}
	}
	w.cause, err = w.recorder.AppendToTransaction(ctx, recorder.CausedBy(w.cause), w.t, fact)
	return failure, err
}

// runProgram runs a step that a program carries out.
func (w *execution) runProgram(ctx context.Context, i int, s events.Step) (machine.StepResult, error) {
	if s.Op == events.OpPurgeLeftovers { // dpkg does not call the gate
		if err := w.takeSnapshot(ctx, i, nil); err != nil {
			return machine.StepResult{ExitCode: -1}, err
		}
	}
	return w.machine.Run(ctx, s, machine.RunOptions{
		Label: fmt.Sprintf("%s-%d", w.t.ID, i),
		OnProgress: func(p events.Progress) {
			p.Step = i
			w.reportProgress(w.t, p)
		},
		Gate: func(ctx context.Context, pending []machine.PendingAction) error {
			if err := w.checkUnchanged(ctx, pending); err != nil {
				return err
			}
			return w.takeSnapshot(ctx, i, pending)
		},
	})
}

// runRestore carries out a restore step.
func (w *execution) runRestore(ctx context.Context, i int, s events.Step) error {
	if err := w.takeSnapshot(ctx, i, nil); err != nil {
		return err
	}
	return w.snapshots.Restore(ctx, s, confstate.Snapshot{Files: w.lockedSnapshot.Files, Settings: w.firstSnapshot.Settings})
}

// checkUnchanged returns an error, under dpkg's lock, if the pending actions are not
// the approved ones, or the packages changed after the step began. Marks are ignored:
// apt has already written them.
func (w *execution) checkUnchanged(ctx context.Context, pending []machine.PendingAction) error {
	stale := func(subject, why string) error {
		return &events.Error{Op: "executor.checkUnchanged", Kind: events.ErrStale, Subject: subject, Err: errors.New(why + "; nothing was changed"), Hint: "run the command again to see the present plan"}
	}
	planned := map[events.PackageKey]events.PlannedChange{}
	for _, c := range w.t.Plan.Changes {
		if c.From != "" || c.To != "" || c.Action == events.ActionPurge {
			planned[c.PackageKey] = c
		}
	}
	for _, a := range pending {
		c, ok := planned[a.PackageKey]
		switch {
		case !a.Remove && a.Deb == "": // configure: it was unpacked earlier
		case !ok:
			return stale(string(a.Name), "apt would change this package, which is not in the approved plan")
		case a.Deb != "" && a.New != c.To && w.countAptSteps() == 1:
			return stale(string(a.Name), fmt.Sprintf("apt would install version %s; the approved plan has %s", a.New, c.To))
		}
	}
	now, err := w.machine.Inventory(ctx)
	if err != nil {
		return err
	}
	for _, c := range events.DiffInventories(w.inventoryBeforeStep, now) {
		c.Before.Auto, c.After.Auto = false, false
		if c.Before != c.After {
			return stale(string(c.Name), "another program changed it in the meantime")
		}
	}
	return nil
}

// countAptSteps counts the steps that apt-get carries out.
func (w *execution) countAptSteps() int {
	n := 0
	for _, s := range w.t.Plan.Steps {
		switch s.Op {
		case events.OpInstall, events.OpRemove, events.OpPurge, events.OpUpgrade:
			n++
		case events.OpPurgeLeftovers, events.OpHold, events.OpUnhold, events.OpMarkAuto, events.OpMarkManual, events.OpRestore:
		}
	}
	return n
}

// takeSnapshot stores everything that an undo of the step needs, and records it.
func (w *execution) takeSnapshot(ctx context.Context, i int, pending []machine.PendingAction) error {
	snapshot, err := w.snapshots.Capture(ctx)
	if err != nil {
		return err
	}
	if w.lockedSnapshot == nil {
		snapshot.Settings = w.firstSnapshot.Settings // debconf has asked its questions by now
	}
	digest, err := w.snapshots.Save(snapshot)
	if err != nil {
		return err
	}
	fact := &events.SnapshotTaken{Index: i, Snapshot: digest, NotStored: w.unsavedVersions}
	for _, a := range pending {
		if a.Deb != "" {
			deb, err := w.debs.PutDeb(a.PackageKey, a.New, a.Deb)
			if err != nil {
				return err
			}
			fact.Debs = append(fact.Debs, deb)
		}
		if deb, ok := w.debs.Deb(a.PackageKey, a.Old); ok && a.Old != "" {
			fact.Debs = append(fact.Debs, deb)
		}
	}
	record, err := w.recorder.AppendToTransaction(ctx, recorder.CausedBy(w.cause), w.t, fact)
	if err != nil {
		return err
	}
	w.cause = record
	if w.lockedSnapshot == nil {
		w.lockedSnapshot = &snapshot
	}
	return nil
}

// saveReplacedDebs stores the package file of every version that the plan replaces or
// removes, if a source still offers it, and lists the versions that are not stored.
func (x *Executor) saveReplacedDebs(ctx context.Context, plan events.Plan) (unsaved []string, err error) {
	for _, c := range plan.Changes {
		switch c.Action {
		case events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall, events.ActionRemove, events.ActionPurge:
		case events.ActionInstall, events.ActionConfigure, events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual:
			continue
		}
		if _, ok := x.debs.Deb(c.PackageKey, c.From); ok || c.From == "" {
			continue
		}
		limited, done := context.WithTimeout(ctx, fetchTimeout)
		err := x.machine.FetchDeb(limited, c.PackageKey, c.From, func(path string) error {
			_, err := x.debs.PutDeb(c.PackageKey, c.From, path)
			return err
		})
		done()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			unsaved = append(unsaved, fmt.Sprintf("%s %s", c.Name, c.From))
		}
	}
	return unsaved, nil
}

// fetchTimeout bounds the download of one replaced version.
const fetchTimeout = 2 * time.Minute
