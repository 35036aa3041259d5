package natslog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"cortex/events"
)

// Append implements [events.Log].
func (l *factLog) Append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	const op = "natslog.Append"
	e.Time = e.Time.UTC().Round(0)
	if err := l.validate(e); err != nil {
		return events.Record{}, err
	}
	if err := ctx.Err(); err != nil {
		return events.Record{}, writeError(op, e.Subject, err)
	}
	if err := l.acquireTurn(ctx); err != nil {
		return events.Record{}, writeError(op, e.Subject, err)
	}
	out, err := l.appendWithRetry(ctx, e, x)
	if syncErr := l.releaseTurn(); err == nil && syncErr != nil {
		return events.Record{}, writeError(op, e.Subject, syncErr)
	}
	return out, err
}

// appendWithRetry has the server store e, in its turn.
func (l *factLog) appendWithRetry(ctx context.Context, e events.Event, x events.Expect) (out events.Record, err error) {
	err = l.engine.withRetry(ctx, func() error {
		err := l.readOnlyError()
		if err != nil {
			return err
		}
		if err = l.resolveOutcome(ctx); err != nil {
			return writeError("natslog.Append", e.Subject, err)
		}
		out, err = l.append(ctx, e, x)
		return err
	})
	return out, err
}

// validate refuses what is not a fact of this host.
func (l *factLog) validate(e events.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if e.Host != l.host {
		return &events.Error{Op: "natslog.Append", Kind: events.ErrInternal, Subject: string(e.Kind), Err: fmt.Errorf("it is of host %s, the log of %s", e.Host, l.host)}
	}
	_, err := events.Decode(e)
	return err
}

// append stores e when it is this goroutine's turn and the tip is known. It
// tries again when the log turned out to be further than was known: an earlier
// append had been stored although its answer was lost.
func (l *factLog) append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	for {
		if p, ok := l.byID[e.ID]; ok {
			return l.readAt(ctx, p)
		}
		if x.Subject != (events.Subject{}) {
			stored, err := l.checkExpectation(ctx, e.ID, x)
			if err != nil || stored.Position > 0 {
				return stored, err
			}
		}
		if err := checkFreeSpace(l.cfg); err != nil {
			return events.Record{}, err
		}
		tip := l.currentTip()
		r := events.Record{Event: e, Position: tip.Position + 1, Prev: tip.Hash}
		r.Hash = events.ChainHash(r.Prev, r.Position, r.Event)
		msg, err := encodeFact(r, l.engine.signer)
		if err != nil {
			return events.Record{}, err
		}
		out, err := l.publish(ctx, r, msg)
		if !isWrongLastSequence(err) || l.currentTip() == tip {
			return out, err
		}
	}
}

// publish sends the record and makes sense of the answer.
func (l *factLog) publish(ctx context.Context, r events.Record, msg *nats.Msg) (events.Record, error) {
	ack, err := l.engine.js.PublishMsg(ctx, msg)
	switch {
	case err == nil && ack.Duplicate:
		return l.readAt(ctx, events.Position(ack.Sequence))
	case err == nil:
		l.advanceTip(r) // the server stores it at the expected place or not at all
		return r, nil
	case kindOf(err) == events.ErrFull:
		l.outcomeUnknown = true // it is not stored; but look once more before the next
		return events.Record{}, writeError("natslog.Append", r.Subject, err)
	}
	// Whether it is stored is not known. Look now if there is time, otherwise
	// before the next append.
	l.outcomeUnknown = true
	if lookErr := l.resolveOutcome(ctx); lookErr != nil {
		return events.Record{}, writeError("natslog.Append", r.Subject, errors.Join(err, lookErr))
	}
	if p, ok := l.byID[r.ID]; ok {
		return l.readAt(ctx, p)
	}
	return events.Record{}, writeError("natslog.Append", r.Subject, err)
}

// resolveOutcome finds out what became of an append with an unknown outcome, by reading
// what is behind the known tip.
func (l *factLog) resolveOutcome(ctx context.Context) error {
	if !l.outcomeUnknown {
		return nil
	}
	clear(l.byID)
	clear(l.lastOf)
	info, err := l.engine.facts.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask for the log's end: %w", err)
	}
	end := events.Position(info.State.LastSeq)
	for r, err := range l.scan(ctx, events.Query{After: l.currentTip().Position}, end) {
		if err == nil {
			err = checkFollows(r, l.currentTip())
		}
		if err != nil {
			return err
		}
		l.advanceTip(r)
	}
	if have := l.currentTip().Position; have != end {
		if l.engine.cluster != nil { // a server that has just begun to lead does not know everything yet
			return fmt.Errorf("the cluster shows %d events, and %d were stored", end, have)
		}
		l.markReadOnly(corruptError(FactsStream, fmt.Errorf("it ends at event %d, but event %d was stored", end, have)))
		return l.readOnlyError()
	}
	l.outcomeUnknown = false
	return nil
}

// checkExpectation checks an expectation. When it fails because the event itself was
// stored before, the stored record is given back.
func (l *factLog) checkExpectation(ctx context.Context, id events.ID, x events.Expect) (events.Record, error) {
	last, ok := l.lastOf[x.Subject]
	if !ok {
		r, _, err := l.Last(ctx, events.FactFilter(l.host, x.Subject))
		if err != nil {
			return events.Record{}, err
		}
		last = r.Position
		if last > l.currentTip().Position { // an append whose answer was lost
			l.outcomeUnknown = true
			if err := l.resolveOutcome(ctx); err != nil {
				return events.Record{}, writeError("natslog.Append", x.Subject, err)
			}
			return l.checkExpectation(ctx, id, x)
		}
		l.lastOf[x.Subject] = last
	}
	if last == x.LastPosition {
		return events.Record{}, nil
	}
	if last > x.LastPosition {
		q := events.Query{After: x.LastPosition, Filters: []string{events.FactFilter(l.host, x.Subject)}}
		for r, err := range l.scan(ctx, q, l.currentTip().Position) {
			if err != nil || r.ID == id {
				return r, err
			}
		}
	}
	return events.Record{}, &events.Error{
		Op: "natslog.Append", Kind: events.ErrConflict, Subject: x.Subject.String(),
		Err: fmt.Errorf("its last event is %d, not %d", last, x.LastPosition),
	}
}
