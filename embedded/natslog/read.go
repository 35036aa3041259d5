package natslog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// Read implements [events.Log].
func (l *factLog) Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for r, err := range l.scan(ctx, q, l.currentHead().Position) {
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Follow implements [events.Log]. It reads the newest events from memory.
func (l *factLog) Follow(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for {
			l.mu.Lock()
			head, grown, fresh := l.head.Position, l.headMoved, l.recent.after(q.After)
			l.mu.Unlock()
			for _, r := range fresh {
				if ctx.Err() != nil || q.Match(r) && !yield(r, nil) {
					return
				}
				q.After = r.Position
			}
			for r, err := range l.scan(ctx, q, head) {
				if ctx.Err() != nil || !yield(r, err) || err != nil {
					return
				}
			}
			q.After = max(q.After, head)
			select {
			case <-grown:
			case <-ctx.Done():
				return
			case <-l.closed:
				yield(events.Record{}, &events.Error{Op: "natslog.Follow", Kind: events.ErrUnavailable, Err: errClosed})
				return
			}
		}
	}
}

// Last implements [events.Log].
func (l *factLog) Last(ctx context.Context, filter string) (events.Record, bool, error) {
	r, err := l.get(ctx, getRequest{LastFor: filter})
	switch {
	case errors.Is(err, errNoMessage):
		return events.Record{}, false, nil
	case err != nil:
		return events.Record{}, false, err
	}
	return r, true, nil
}

// readAt returns the record at a position.
func (l *factLog) readAt(ctx context.Context, p events.Position) (events.Record, error) {
	r, err := l.get(ctx, getRequest{Seq: uint64(p)})
	if errors.Is(err, errNoMessage) {
		err = l.unreadableEvent(p)
	}
	return r, err
}

// unreadableEvent makes the log read-only and returns an ErrCorrupt, because the server
// does not return an event that it has stored.
func (l *factLog) unreadableEvent(p events.Position) error {
	err := corruptError(fmt.Sprintf("event %d", p), errors.New("the event was stored, but the NATS server does not return it"))
	l.markReadOnly(err)
	return err
}

// get reads one record.
func (l *factLog) get(ctx context.Context, q getRequest) (events.Record, error) {
	msg, err := l.engine.get(ctx, FactsStream, q)
	if err != nil {
		return events.Record{}, err
	}
	return l.decode(msg)
}

func (l *factLog) decode(msg *nats.Msg) (events.Record, error) {
	seq, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return events.Record{}, &events.Error{Op: "natslog.decode", Kind: events.ErrUnavailable, Err: fmt.Errorf("parse the answer of the NATS server: %w", err)}
	}
	r, err := decodeRecord(l.host, seq, msg.Header.Get(jetstream.SubjectHeader), flattenHeaders(msg.Header), msg.Data)
	if err == nil {
		err = l.engine.signer.verify(r, msg.Header.Get(signatureHeader))
	}
	if err != nil {
		l.markReadOnly(err)
	}
	return r, err
}
