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

// appendWithRetry stores e and retries while a cluster is unreachable. The caller holds
// appendTurn.
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

// validate refuses an event that is not a fact of this host.
func (l *factLog) validate(e events.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if e.Host != l.host {
		return &events.Error{Op: "natslog.Append", Kind: events.ErrInternal, Subject: string(e.Kind), Err: fmt.Errorf("the event is of host %s, the log of host %s", e.Host, l.host)}
	}
	_, err := events.DecodeStrict(e)
	return err
}

// append stores e after the tip. The caller holds appendTurn. append tries again when
// the server has more events than the tip: the server stored an earlier append whose
// answer was lost.
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

// publish sends the record and interprets the answer.
func (l *factLog) publish(ctx context.Context, r events.Record, msg *nats.Msg) (events.Record, error) {
	ack, err := l.engine.js.PublishMsg(ctx, msg)
	switch {
	case err == nil && ack.Duplicate:
		return l.readAt(ctx, events.Position(ack.Sequence))
	case err == nil:
		l.advanceTip(r) // the server stores it at the expected position or not at all
		return r, nil
	case kindOf(err) == events.ErrFull:
		l.outcomeUnknown = true // probably not stored; the next append checks it
		return events.Record{}, writeError("natslog.Append", r.Subject, err)
	}
	// The server may or may not have stored it. Check now; if that fails, the next
	// append checks again.
	l.outcomeUnknown = true
	if lookErr := l.resolveOutcome(ctx); lookErr != nil {
		return events.Record{}, writeError("natslog.Append", r.Subject, errors.Join(err, lookErr))
	}
	if p, ok := l.byID[r.ID]; ok {
		return l.readAt(ctx, p)
	}
	return events.Record{}, writeError("natslog.Append", r.Subject, err)
}

// resolveOutcome moves the tip to the end of the stream after an append with an
// unknown outcome. The caller holds appendTurn.
func (l *factLog) resolveOutcome(ctx context.Context) error {
	if !l.outcomeUnknown {
		return nil
	}
	clear(l.byID)
	clear(l.lastOf)
	info, err := l.engine.facts.Info(ctx)
	if err != nil {
		return fmt.Errorf("read the end of the log: %w", err)
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
		if l.engine.cluster != nil { // a new leader may not have every event yet
			return fmt.Errorf("the cluster shows %d events, but %d were stored", end, have)
		}
		l.markReadOnly(corruptError(FactsStream, fmt.Errorf("the log ends at event %d, but event %d was stored", end, have)))
		return l.readOnlyError()
	}
	l.outcomeUnknown = false
	return nil
}

// checkExpectation returns an ErrConflict unless x holds. When x does not hold because
// the event with this id is stored already, it returns the stored record instead.
func (l *factLog) checkExpectation(ctx context.Context, id events.ID, x events.Expect) (events.Record, error) {
	last, ok := l.lastOf[x.Subject]
	if !ok {
		r, _, err := l.Last(ctx, events.FactFilter(l.host, x.Subject))
		if err != nil {
			return events.Record{}, err
		}
		last = r.Position
		if last > l.currentTip().Position { // the answer of an append was lost
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
		Err: fmt.Errorf("the last event is %d, not %d", last, x.LastPosition),
	}
}
