package natslog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"cortex/events"
)

// maxRecentIDs bounds what the log keeps in memory about recent events: their
// ids, and the last position of their aggregates.
const maxRecentIDs = 8192

// factLog is the [events.Log] on the facts stream. Appends reach the server through one
// goroutine at a time, which alone knows the tip; those that do so while another waits for
// the disk are synced together. Readers are shown what is durable.
type factLog struct {
	cfg            Config
	host           events.HostID
	engine         *engine
	manifestWriter *manifestWriter
	syncer         *syncer

	// appendTurn is held by the one that appends. It guards the fields below.
	appendTurn     chan struct{}
	outcomeUnknown bool // an append's outcome is unknown: look before the next
	byID           map[events.ID]events.Position
	lastOf         map[events.Subject]events.Position
	appendsClosed  bool
	awaitingSync   sync.WaitGroup // who had a turn and waits for the disk

	mu          sync.Mutex      // guards the fields below, and is never held while waiting
	tip         events.Link     // the last that the server has
	unsynced    []events.Record // behind head, up to tip: not known to be durable
	head        events.Link     // the last that readers are shown
	recent      recentRecords   // ends at head, unless it is empty
	readOnlyErr error           // once set, the log is read-only
	headMoved   chan struct{}   // closed and replaced when head moves
	closed      chan struct{}
}

var _ events.Log = (*factLog)(nil)

func newFactLog(cfg Config, h events.HostID, e *engine, head events.Link, k *manifestWriter) *factLog {
	return &factLog{
		cfg: cfg, host: h, engine: e, manifestWriter: k, tip: head, head: head, syncer: newSyncer(cfg, FactsStream),
		appendTurn: make(chan struct{}, 1), byID: map[events.ID]events.Position{}, lastOf: map[events.Subject]events.Position{},
		headMoved: make(chan struct{}), closed: make(chan struct{}),
	}
}

// Host implements [events.Log].
func (l *factLog) Host() events.HostID { return l.host }

// Head implements [events.Log].
func (l *factLog) Head(context.Context) (events.Link, error) { return l.currentHead(), nil }

func (l *factLog) currentHead() events.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

func (l *factLog) currentTip() events.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tip
}

// advanceTip takes note of a record that the server has, in its turn.
func (l *factLog) advanceTip(r events.Record) {
	if len(l.byID) >= maxRecentIDs {
		clear(l.byID)
	}
	if len(l.lastOf) >= maxRecentIDs {
		clear(l.lastOf)
	}
	l.byID[r.ID], l.lastOf[r.Subject] = r.Position, r.Position
	l.mu.Lock()
	l.tip = r.Link()
	l.unsynced = append(l.unsynced, r)
	l.mu.Unlock()
}

// syncAndPublish makes durable what the server has, and then shows it to readers and to the
// manifest.
func (l *factLog) syncAndPublish() error {
	tip := l.currentTip().Position
	if l.currentHead().Position >= tip {
		return nil
	}
	if err := l.syncer.waitDurable(); err != nil {
		if isSyncFailure(err) {
			l.markReadOnly(err)
		}
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head.Position >= tip {
		return nil // who came later was faster
	}
	for len(l.unsynced) > 0 && l.unsynced[0].Position <= tip {
		l.head = l.unsynced[0].Link()
		l.recent.add(l.unsynced[0])
		l.unsynced = l.unsynced[1:]
	}
	close(l.headMoved)
	l.headMoved = make(chan struct{})
	l.manifestWriter.recordHead(l.head)
	return nil
}

// markReadOnly makes the log read-only because the store was found damaged, or the disk
// failed to keep it.
func (l *factLog) markReadOnly(err error) {
	l.cfg.Logger.Error("the log cannot be trusted to this disk and stays read-only", "error", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readOnlyErr == nil {
		l.readOnlyErr = err
	}
}

func (l *factLog) readOnlyError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.readOnlyErr
}

// close refuses further appends once the running ones are done, and ends followers.
func (l *factLog) close() {
	l.appendTurn <- struct{}{}
	l.appendsClosed = true
	<-l.appendTurn
	l.awaitingSync.Wait()
	close(l.closed)
}

// waitForHead returns once the head is at p or beyond. The server hands a fact to
// subscribers before the appender has read its answer: who reacts to it must not
// find the log without it.
func (l *factLog) waitForHead(ctx context.Context, p events.Position) error {
	if l.currentHead().Position >= p {
		return nil
	}
	err := l.acquireTurn(ctx) // who sends something has its answer
	if err != nil {
		return err
	}
	if l.currentTip().Position < p {
		l.outcomeUnknown = true // its answer was lost
		err = l.resolveOutcome(ctx)
	}
	return errors.Join(err, l.releaseTurn())
}

// acquireTurn waits for a turn.
func (l *factLog) acquireTurn(ctx context.Context) error {
	select {
	case l.appendTurn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.appendsClosed {
		<-l.appendTurn
		return errClosed
	}
	return nil
}

// releaseTurn ends a turn and returns when what came of it is durable.
func (l *factLog) releaseTurn() error {
	l.awaitingSync.Add(1)
	defer l.awaitingSync.Done()
	<-l.appendTurn
	return l.syncAndPublish()
}

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

var errClosed = errors.New("the broker is closed")

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
