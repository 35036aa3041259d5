package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"cortex/cmd/client"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/history"
)

// run follows one transaction to its end, from the question for a yes on.
func (a *App) run(ctx context.Context, s follower, id events.TransactionID) error {
	return a.follow(ctx, s, id, &events.Transaction{}, false)
}

// follow follows a transaction from where t stands. A plan is decided upon once.
func (a *App) follow(ctx context.Context, s follower, id events.TransactionID, t *events.Transaction, decided bool) error {
	show := a.Renderer()
	defer show.Finish()
	var newest *events.Progress
	for l, err := range s.client.Events(ctx, client.StreamOptions{Transaction: id, After: t.LastPosition, Follow: true}) {
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case l.Progress != nil:
			newest = l.Progress
			if !s.attached || t.State == events.StateRunning {
				show.Progress(*newest)
			}
			continue
		case l.Heartbeat > 0:
			show.Tick(time.Now())
			continue
		}
		show.Event(*l.Event)
		if l.Event.Kind == events.KindDeadLettered {
			return deadLetterError(*l.Event)
		}
		if err := t.Apply(*l.Event); err != nil {
			return err
		}
		if t.State == events.StatePlanned && !decided {
			decided = true
			goOn, err := a.decide(ctx, s, t)
			if err != nil || !goOn {
				return err
			}
		}
		if l.Event.Kind == events.KindStarted {
			show.SetForecast(a.forecast(ctx, t, l.Event.Time))
		}
		if s.attached && t.State == events.StateRunning && newest != nil {
			show.Progress(*newest) // it came before we knew that this runs
		}
		if t.State.Ended() {
			show.Finish()
			return a.outcome(ctx, s, t)
		}
	}
	show.Finish()
	return a.interrupted(ctx, s, t)
}

// forecast tells from the machine's own history how long a transaction may take. Not
// to know is no failure.
func (a *App) forecast(ctx context.Context, t *events.Transaction, started time.Time) output.Forecast {
	o := output.Forecast{Started: started, DownloadBytes: t.Plan.DownloadBytes}
	_ = a.QueryHistory(ctx, func(r *history.Reader) error {
		x, err := r.Timing(ctx, t.Intent.Verb)
		o.Expected = x.Estimate(len(t.Plan.Changes))
		return err
	})
	o.ExpectedMs = o.Expected.Milliseconds()
	return o
}

// deadLetterError: a worker gave up on this transaction.
func deadLetterError(r events.Record) error {
	f, err := events.Decode(r.Event)
	if err != nil {
		return err
	}
	p, ok := f.(*events.DeadLettered)
	if !ok {
		return errors.New("not a parked event")
	}
	e := p.Failure.AsError()
	return fmt.Errorf("the daemon could not go on (event %s is parked, see 'cortex status'): %w", r.ID, e)
}

// interrupted: the person pressed Ctrl-C.
func (a *App) interrupted(ctx context.Context, s follower, t *events.Transaction) error {
	late := context.WithoutCancel(ctx)
	if s.attached {
		return a.detach(late, s, t)
	}
	switch t.State {
	case events.StateNone, events.StateRequested, events.StatePlanned:
		if t.ID != "" {
			if err := s.producer.Cancel(late, t.ID, "interrupted"); err != nil {
				return err
			}
		}
		return &events.Error{Op: "cli", Kind: events.ErrInterrupted, Err: errors.New("interrupted; nothing was changed")}
	case events.StateApproved, events.StateRunning:
		return a.detach(late, s, t)
	case events.StateRefused, events.StateDenied, events.StateCancelled, events.StateSucceeded, events.StateFailed, events.StateInterrupted:
	}
	return &events.Error{Op: "cli", Kind: events.ErrInterrupted, Err: errors.New("interrupted")}
}

// detach leaves a transaction that runs, or goes back to it when the person would
// rather see its end. Nothing stops apt: half an installation helps nobody.
func (a *App) detach(ctx context.Context, s follower, t *events.Transaction) error {
	if a.Interactive() {
		again, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		question := fmt.Sprintf("Transaction %d goes on whatever you do. Leave it in the background? [Y/n] ", t.Number)
		if line, more, err := a.Prompt(again, question); err == nil && more && (line == "n" || line == "N" || line == "no") {
			return a.follow(again, s, t.ID, t, true)
		}
	}
	return &events.Error{
		Op: "cli", Kind: events.ErrInterrupted, Subject: fmt.Sprintf("transaction %d", t.Number),
		Err: errors.New("goes on in the background"), Hint: fmt.Sprintf("'cortex attach %d' goes back to it", t.Number),
	}
}
