package natslog

import (
	"context"
	"errors"
	"sync"

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

var errClosed = errors.New("the broker is closed")
