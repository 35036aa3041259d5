package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cortex/cmd/client"
	"cortex/events"
	"cortex/projections/history"
)

// follow follows the transaction to its end. It decides upon a plan once.
func (w *watch) follow(ctx context.Context) (Outcome, error) {
	defer w.ui.Finish()
	var newest *events.Progress
	for l, err := range w.client.Events(ctx, client.StreamOptions{Transaction: w.id, After: w.t.LastPosition, Follow: true}) {
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return Outcome{}, err
		}
		switch {
		case l.Progress != nil:
			newest = l.Progress
			if !w.attached || w.t.State == events.StateRunning {
				w.ui.Progress(*newest)
			}
			continue
		case l.Heartbeat > 0:
			w.ui.Tick(time.Now())
			continue
		}
		w.ui.Event(*l.Event)
		if l.Event.Kind == events.KindDeadLettered {
			return Outcome{}, deadLetterError(*l.Event)
		}
		if err := w.t.Apply(*l.Event); err != nil {
			return Outcome{}, err
		}
		if w.t.State == events.StatePlanned && !w.decided {
			w.decided = true
			result, goOn, err := w.decide(ctx)
			if err != nil || !goOn {
				return Outcome{Result: result, Transaction: w.t}, err
			}
		}
		if l.Event.Kind == events.KindStarted {
			w.ui.Expect(w.forecast(ctx, l.Event.Time))
		}
		if w.attached && w.t.State == events.StateRunning && newest != nil {
			w.ui.Progress(*newest) // it arrived before the state was known
		}
		if w.t.State.Ended() {
			w.ui.Finish()
			return w.outcome(ctx)
		}
	}
	w.ui.Finish()
	return w.interrupted(ctx)
}

// decide shows a plan and has it approved. goOn is false when the request is over.
func (w *watch) decide(ctx context.Context) (result Result, goOn bool, err error) {
	t := w.t
	if t.Plan.Empty() {
		w.ui.ShowPlan(t)
		return ResultNothingToDo, false, w.awaitProjected(w.producer.Cancel(ctx, t.ID, "nothing to do"))
	}
	w.ui.ShowPlan(t)
	approve := func(method string) (Result, bool, error) {
		return ResultEnded, true, w.producer.Approve(ctx, t.ID, t.PlanID, method)
	}
	switch {
	case w.approval.DryRun:
		return ResultPlanned, false, w.awaitProjected(nil)
	case t.Denial != nil:
		return ResultEnded, true, nil // the fact of the denial follows
	case !w.ping.MayChange:
		return ResultEnded, false, &events.Error{
			Op: "app.Transact", Kind: events.ErrConfirmation, Err: errors.New("changing packages needs root; nothing was changed"), Hint: "run: sudo " + w.commandLine,
		}
	case w.approval.Yes:
		return approve("yes-flag")
	case w.approval.ExactPlan:
		return approve("apply")
	}
	yes, ok, err := w.ui.Confirm(ctx, t.Plan)
	switch {
	case !ok:
		return ResultEnded, false, &events.Error{
			Op: "app.Transact", Kind: events.ErrConfirmation, Err: errors.New("not a terminal, cannot ask for confirmation; nothing was changed"),
			Hint: fmt.Sprintf("pass --yes, or run: cortex apply %s", t.PlanID),
		}
	case err == nil && yes:
		return approve("prompt")
	}
	cancelled := w.producer.Cancel(context.WithoutCancel(ctx), t.ID, "declined at the prompt")
	if err == nil {
		err = &events.Error{Op: "app.Transact", Kind: events.ErrCancelled, Err: errors.New("declined; nothing was changed")}
	}
	return ResultEnded, false, errors.Join(err, cancelled)
}

// awaitProjected waits until the read models show the transaction, so that the next
// command sees it. It passes err through.
func (w *watch) awaitProjected(err error) error {
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), AnswerTimeout)
	defer cancel()
	return w.client.WaitProjected(ctx, w.t.LastPosition)
}

// outcome returns how the transaction ended, once the read models show it.
func (w *watch) outcome(ctx context.Context) (Outcome, error) {
	t, last := w.t, w.t.LastPosition
	out := Outcome{Transaction: t}
	if t.Intent.Verb.Reverts() && len(t.Plan.Undoes) > 0 && t.State == events.StateSucceeded {
		undone, err := w.verdict(ctx)
		if err != nil {
			return out, err
		}
		out.Undone, last = undone, undone.LastPosition
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), AnswerTimeout)
	defer cancel()
	if err := w.client.WaitProjected(wait, last); err != nil {
		w.service.Note(fmt.Sprintf("note: the history does not show this transaction yet: %v", err))
	}
	switch t.State {
	case events.StateSucceeded, events.StateFailed, events.StateInterrupted:
		return out, nil
	case events.StateRefused, events.StateDenied:
		return out, t.Failure.AsError()
	case events.StateCancelled:
		return out, &events.Error{Op: "app.Transact", Kind: events.ErrCancelled, Err: errors.New("cancelled; nothing was changed")}
	case events.StateNone, events.StateRequested, events.StatePlanned, events.StateApproved, events.StateRunning:
	}
	return out, fmt.Errorf("transaction %d ended as %s", t.Number, t.State)
}

// verdict waits for the verdict on the transaction that was undone: exact or not.
func (w *watch) verdict(ctx context.Context) (*events.Transaction, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), AnswerTimeout)
	defer cancel()
	undone := &events.Transaction{}
	for l, err := range w.client.Events(ctx, client.StreamOptions{Transaction: w.t.Plan.Undoes[0], Follow: true}) {
		if err != nil {
			return nil, err
		}
		if l.Event == nil || l.Event.Kind == events.KindDeadLettered {
			continue
		}
		if err := undone.Apply(*l.Event); err != nil {
			return nil, err
		}
		if undone.CompensatedBy == w.t.ID {
			return undone, nil
		}
	}
	return nil, &events.Error{
		Op: "app.Transact", Kind: events.ErrPartial, Subject: fmt.Sprintf("transaction %d", w.t.Number),
		Err: errors.New("it ran, but no verdict says whether everything is as before"), Hint: "see 'cortex status'",
	}
}

// forecast estimates from the machine's own history how long the transaction takes. It
// returns no estimate if the history cannot be read.
func (w *watch) forecast(ctx context.Context, started time.Time) Estimate {
	f := Estimate{Started: started, DownloadBytes: w.t.Plan.DownloadBytes}
	_ = w.service.QueryHistory(ctx, func(r *history.Reader) error {
		x, err := r.Timing(ctx, w.t.Intent.Verb)
		f.Expected = x.Estimate(len(w.t.Plan.Changes))
		return err
	})
	return f
}

// interrupted ends the watch after the context was cancelled. A transaction that does not
// run yet is cancelled; one that runs continues in the background.
func (w *watch) interrupted(ctx context.Context) (Outcome, error) {
	out := Outcome{Transaction: w.t}
	running := w.t.State == events.StateApproved || w.t.State == events.StateRunning
	if running || w.attached {
		if again := w.ui.KeepWatching(w.t); again != nil {
			w.attached = true
			return w.follow(again)
		}
		return out, &events.Error{
			Op: "app.Transact", Kind: events.ErrInterrupted, Subject: fmt.Sprintf("transaction %d", w.t.Number),
			Err: errors.New("continues in the background"), Hint: fmt.Sprintf("to watch it again: cortex attach %d", w.t.Number),
		}
	}
	if w.t.State.Ended() {
		return out, &events.Error{Op: "app.Transact", Kind: events.ErrInterrupted, Err: errors.New("interrupted")}
	}
	if w.t.ID != "" {
		if err := w.producer.Cancel(context.WithoutCancel(ctx), w.t.ID, "interrupted"); err != nil {
			return out, err
		}
	}
	return out, &events.Error{Op: "app.Transact", Kind: events.ErrInterrupted, Err: errors.New("interrupted; nothing was changed")}
}

// deadLetterError returns the error of a transaction whose event became a dead letter.
func deadLetterError(r events.Record) error {
	f, err := events.Decode(r.Event)
	if err != nil {
		return err
	}
	p, ok := f.(*events.DeadLettered)
	if !ok {
		return errors.New("not a dead letter")
	}
	return fmt.Errorf("the daemon gave up on an event of this transaction (dead letter %s, see 'cortex status'): %w", r.ID, p.Failure.AsError())
}
