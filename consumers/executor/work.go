package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cortex/consumers/apt"
	"cortex/consumers/keeper"
	"cortex/consumers/scribe"
	"cortex/events"
)

// work is one transaction being carried out.
type work struct {
	*Executor
	t      *events.Transaction
	cause  events.Record    // the latest fact
	before events.Inventory // right before the first step
	latest events.Inventory // right before the present step
	base   *keeper.Image    // from before the first step that touches files; nil before that
	first  keeper.Image     // from before the first step
	lost   []string         // what goes and could not be kept
	killed bool             // a step's program died of a signal
}

// run runs the steps up to the first that fails, and records the outcome.
func (w *work) run(ctx context.Context) error {
	var err error
	if w.first, err = w.keep.Capture(ctx); err != nil {
		return w.end(ctx, err)
	}
	for i, step := range w.t.Plan.Steps {
		failure, err := w.step(ctx, i, step)
		if err != nil {
			return err
		}
		if failure != nil {
			return w.end(ctx, failure)
		}
	}
	return w.end(ctx, nil)
}

// end records the outcome: what is different, whatever was planned.
func (w *work) end(ctx context.Context, failure error) error {
	w.tell(w.t, events.Progress{Stage: events.StageVerify, Percent: -1, Message: "reading back what changed"})
	if failure != nil {
		failure = w.mend(ctx, failure)
	}
	effects, err := w.effects(ctx)
	if err != nil {
		return err
	}
	var outcome events.Fact = &events.Succeeded{Changes: effects.Changes, Files: effects.Files, Settings: effects.Settings}
	if failure != nil {
		outcome = &events.Failed{Changes: effects.Changes, Files: effects.Files, Settings: effects.Settings, Failure: events.FailureOf(failure)}
	}
	_, err = w.scribe.Transaction(ctx, scribe.After(w.cause), w.t, outcome)
	return err
}

// mend brings dpkg back to a consistent state when it was cut off in the middle,
// and says so in the failure.
func (w *work) mend(ctx context.Context, failure error) error {
	cutOff, err := w.machine.CutOff(ctx)
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

func (w *work) effects(ctx context.Context) (events.Effects, error) {
	var img keeper.Image
	captured := make(chan error, 1)
	go func() { // while dpkg is asked
		var err error
		img, err = w.keep.Capture(ctx)
		captured <- err
	}()
	after, err := w.machine.Inventory(ctx)
	failed := <-captured
	if err != nil {
		return events.Effects{}, err
	}
	e := events.Effects{Changes: events.Diff(w.before, after)}
	if w.base == nil && len(e.Changes) == 0 {
		return e, nil // whatever became of the image
	}
	if failed != nil {
		return e, failed
	}
	base := w.first
	if w.base != nil {
		base.Files = w.base.Files // taken under dpkg's lock
	}
	e.Files, e.Settings = keeper.Diff(base, img)
	e.Files = e.Files[:min(len(e.Files), events.MaxFilesPerEvent)]
	e.Settings = e.Settings[:min(len(e.Settings), events.MaxSettingsPerEvent)]
	return e, nil
}

// step records a step's start, runs it and records its end. failure is the
// step's own; err means that the outcome is not on record.
func (w *work) step(ctx context.Context, i int, s events.Step) (failure, err error) {
	argv := apt.Argv(s)
	w.cause, err = w.scribe.Transaction(ctx, scribe.After(w.cause), w.t, &events.StepStarted{Index: i, Op: s.Op, Argv: argv})
	if err != nil {
		return nil, err
	}
	if w.latest, err = w.machine.Inventory(ctx); err != nil {
		return nil, err
	}
	start := w.scribe.Now()
	var result apt.StepResult
	if s.Op == events.OpRestore {
		failure = w.restore(ctx, i, s)
		result.Duration, result.ExitCode = w.scribe.Now().Sub(start), -1
	} else {
		result, failure = w.program(ctx, i, s)
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
	w.cause, err = w.scribe.Transaction(ctx, scribe.After(w.cause), w.t, fact)
	return failure, err
}

// program runs a step that is a program's.
func (w *work) program(ctx context.Context, i int, s events.Step) (apt.StepResult, error) {
	if s.Op == events.OpForget { // dpkg by itself has no hook
		if err := w.prepare(ctx, i, nil); err != nil {
			return apt.StepResult{ExitCode: -1}, err
		}
	}
	return w.machine.Run(ctx, s, apt.RunOptions{
		Label: fmt.Sprintf("%s-%d", w.t.ID, i),
		Tell: func(p events.Progress) {
			p.Step = i
			w.tell(w.t, p)
		},
		Gate: func(ctx context.Context, about []apt.About) error {
			if err := w.unchanged(ctx, about); err != nil {
				return err
			}
			return w.prepare(ctx, i, about)
		},
	})
}

// restore carries out a restore step.
func (w *work) restore(ctx context.Context, i int, s events.Step) error {
	if err := w.prepare(ctx, i, nil); err != nil {
		return err
	}
	return w.keep.Restore(ctx, s, keeper.Image{Files: w.base.Files, Settings: w.first.Settings})
}

// unchanged vetoes, under dpkg's lock, when what apt is about to do is not what
// was approved, or the machine is not as it was when the step began. Marks do not
// count: apt itself has written them by now.
func (w *work) unchanged(ctx context.Context, about []apt.About) error {
	stale := func(subject, why string) error {
		return &events.Error{Op: "executor.unchanged", Kind: events.ErrStale, Subject: subject, Err: errors.New(why + "; nothing was changed"), Hint: "ask again to see the plan as it is now"}
	}
	planned := map[events.PackageKey]events.Change{}
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
		case a.Deb != "" && a.New != c.To && w.steps() == 1:
			return stale(string(a.Name), fmt.Sprintf("apt would install %s, and %s was approved", a.New, c.To))
		}
	}
	now, err := w.machine.Inventory(ctx)
	if err != nil {
		return err
	}
	for _, c := range events.Diff(w.latest, now) {
		c.Before.Auto, c.After.Auto = false, false
		if c.Before != c.After {
			return stale(string(c.Name), "somebody changed it meanwhile")
		}
	}
	return nil
}

// steps counts the steps that apt plans.
func (w *work) steps() int {
	n := 0
	for _, s := range w.t.Plan.Steps {
		switch s.Op {
		case events.OpInstall, events.OpRemove, events.OpPurge, events.OpUpgrade:
			n++
		case events.OpForget, events.OpHold, events.OpUnhold, events.OpAuto, events.OpManual, events.OpRestore:
		}
	}
	return n
}

// prepare makes durable what an undo of the step needs, and records that it is.
func (w *work) prepare(ctx context.Context, i int, about []apt.About) error {
	img, err := w.keep.Capture(ctx)
	if err != nil {
		return err
	}
	if w.base == nil {
		img.Settings = w.first.Settings // debconf has asked its questions by now
	}
	digest, err := w.keep.Save(img)
	if err != nil {
		return err
	}
	fact := &events.Prepared{Index: i, Image: digest, Lost: w.lost}
	for _, a := range about {
		if a.Deb != "" {
			deb, err := w.debs.KeepDeb(a.PackageKey, a.New, a.Deb)
			if err != nil {
				return err
			}
			fact.Debs = append(fact.Debs, deb)
		}
		if deb, ok := w.debs.Deb(a.PackageKey, a.Old); ok && a.Old != "" {
			fact.Debs = append(fact.Debs, deb)
		}
	}
	record, err := w.scribe.Transaction(ctx, scribe.After(w.cause), w.t, fact)
	if err != nil {
		return err
	}
	w.cause = record
	if w.base == nil {
		w.base = &img
	}
	return nil
}

// saveOutgoing makes sure, as far as it can be, that every version that the plan
// takes away is in the vault, and lists what is not.
func (x *Executor) saveOutgoing(ctx context.Context, plan events.Plan) (lost []string, err error) {
	for _, c := range plan.Changes {
		switch c.Action {
		case events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall, events.ActionRemove, events.ActionPurge:
		case events.ActionInstall, events.ActionConfigure, events.ActionHold, events.ActionUnhold, events.ActionAuto, events.ActionManual:
			continue
		}
		if _, ok := x.debs.Deb(c.PackageKey, c.From); ok || c.From == "" {
			continue
		}
		limited, done := context.WithTimeout(ctx, fetchLimit)
		err := x.machine.Fetch(limited, c.PackageKey, c.From, func(path string) error {
			_, err := x.debs.KeepDeb(c.PackageKey, c.From, path)
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

// fetchLimit bounds how long one outgoing version is looked for.
const fetchLimit = 2 * time.Minute
