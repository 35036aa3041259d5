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

// execution is one transaction being carried out.
type execution struct {
	*Executor
	t                   *events.Transaction
	cause               events.Record       // the latest fact
	inventoryBefore     events.Inventory    // right before the first step
	inventoryBeforeStep events.Inventory    // right before the present step
	lockedSnapshot      *confstate.Snapshot // from before the first step that touches files; nil before that
	firstSnapshot       confstate.Snapshot  // from before the first step
	unsavedVersions     []string            // what goes and could not be kept
	killed              bool                // a step's program died of a signal
}

// run runs the steps up to the first that fails, and records the outcome.
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

// recordOutcome records the outcome: what is different, whatever was planned.
func (w *execution) recordOutcome(ctx context.Context, failure error) error {
	w.reportProgress(w.t, events.Progress{Stage: events.StageVerify, Percent: -1, Message: "reading back what changed"})
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

// recoverDpkg brings dpkg back to a consistent state when it was cut off in the middle,
// and says so in the failure.
func (w *execution) recoverDpkg(ctx context.Context, failure error) error {
	cutOff, err := w.machine.DpkgInterrupted(ctx)
	if err != nil || !cutOff && !w.killed {
		return failure
	}
	did, err := w.machine.Recover(ctx)
	if err == nil && len(did) == 0 {
		return failure // it died between two things
	}
	words := "dpkg was cut off and was brought back in order: " + strings.Join(did, "; ")
	if err != nil {
		words = fmt.Sprintf("dpkg was cut off and could not be brought back in order: %v", err)
	}
	return &events.Error{Op: "executor.mend", Kind: events.KindOf(failure), Err: fmt.Errorf("%w; %s", failure, words), Hint: events.HintOf(failure)}
}

func (w *execution) effects(ctx context.Context) (events.Effects, error) {
	var img confstate.Snapshot
	captured := make(chan error, 1)
	go func() { // while dpkg is asked
		var err error
		img, err = w.snapshots.Capture(ctx)
		captured <- err
	}()
	after, err := w.machine.Inventory(ctx)
	failed := <-captured
	if err != nil {
		return events.Effects{}, err
	}
	e := events.Effects{Changes: events.DiffInventories(w.inventoryBefore, after)}
	if w.lockedSnapshot == nil && len(e.Changes) == 0 {
		return e, nil // whatever became of the image
	}
	if failed != nil {
		return e, failed
	}
	base := w.firstSnapshot
	if w.lockedSnapshot != nil {
		base.Files = w.lockedSnapshot.Files // taken under dpkg's lock
	}
	e.Files, e.Settings = confstate.Diff(base, img)
	e.Files = e.Files[:min(len(e.Files), events.MaxFilesPerEvent)]
	e.Settings = e.Settings[:min(len(e.Settings), events.MaxSettingsPerEvent)]
	return e, nil
}

// runStep records a step's start, runs it and records its end. failure is the
// step's own; err means that the outcome is not on record.
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
		return nil, ctx.Err() // apt goes on; the next start records its end
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

// runProgram runs a step that is a program's.
func (w *execution) runProgram(ctx context.Context, i int, s events.Step) (machine.StepResult, error) {
	if s.Op == events.OpPurgeLeftovers { // dpkg by itself has no hook
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
		Gate: func(ctx context.Context, about []machine.PendingAction) error {
			if err := w.checkUnchanged(ctx, about); err != nil {
				return err
			}
			return w.takeSnapshot(ctx, i, about)
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

// checkUnchanged vetoes, under dpkg's lock, when what apt is about to do is not what
// was approved, or the machine is not as it was when the step began. Marks do not
// count: apt itself has written them by now.
func (w *execution) checkUnchanged(ctx context.Context, about []machine.PendingAction) error {
	stale := func(subject, why string) error {
		return &events.Error{Op: "executor.unchanged", Kind: events.ErrStale, Subject: subject, Err: errors.New(why + "; nothing was changed"), Hint: "ask again to see the plan as it is now"}
	}
	planned := map[events.PackageKey]events.PlannedChange{}
	for _, c := range w.t.Plan.Changes {
		if c.From != "" || c.To != "" || c.Action == events.ActionPurge {
			planned[c.PackageKey] = c
		}
	}
	for _, a := range about {
		c, ok := planned[a.PackageKey]
		switch {
		case !a.Remove && a.Deb == "": // configure: what was unpacked before
		case !ok:
			return stale(string(a.Name), "apt would change it, and that was not approved")
		case a.Deb != "" && a.New != c.To && w.countAptSteps() == 1:
			return stale(string(a.Name), fmt.Sprintf("apt would install %s, and %s was approved", a.New, c.To))
		}
	}
	now, err := w.machine.Inventory(ctx)
	if err != nil {
		return err
	}
	for _, c := range events.DiffInventories(w.inventoryBeforeStep, now) {
		c.Before.Auto, c.After.Auto = false, false
		if c.Before != c.After {
			return stale(string(c.Name), "somebody changed it meanwhile")
		}
	}
	return nil
}

// countAptSteps counts the steps that apt plans.
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

// takeSnapshot makes durable what an undo of the step needs, and records that it is.
func (w *execution) takeSnapshot(ctx context.Context, i int, about []machine.PendingAction) error {
	img, err := w.snapshots.Capture(ctx)
	if err != nil {
		return err
	}
	if w.lockedSnapshot == nil {
		img.Settings = w.firstSnapshot.Settings // debconf has asked its questions by now
	}
	digest, err := w.snapshots.Save(img)
	if err != nil {
		return err
	}
	fact := &events.SnapshotTaken{Index: i, Snapshot: digest, NotStored: w.unsavedVersions}
	for _, a := range about {
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
		w.lockedSnapshot = &img
	}
	return nil
}

// saveReplacedDebs makes sure, as far as it can be, that every version that the plan
// takes away is in the vault, and lists what is not.
func (x *Executor) saveReplacedDebs(ctx context.Context, plan events.Plan) (lost []string, err error) {
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
			lost = append(lost, fmt.Sprintf("%s %s", c.Name, c.From))
		}
	}
	return lost, nil
}

// fetchTimeout bounds how long one outgoing version is looked for.
const fetchTimeout = 2 * time.Minute
