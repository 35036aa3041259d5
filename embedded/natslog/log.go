package natslog

import (
	"context"
	"errors"
	"sync"

	"cortex/events"
)

// maxRecentIDs limits how many recent events have their id, and the last position of
// their aggregate, in memory.
const maxRecentIDs = 8192

// factLog is the [events.Log] on the facts stream. One goroutine at a time appends,
// because each event contains the hash of the one before it. Appends that the server
// stores while a sync is running share the next sync. Readers see durable events only.
type factLog struct {
	cfg            Config
	host           events.HostID
	engine         *engine
	manifestWriter *manifestWriter
	syncer         *syncer

	// appendTurn is held by the goroutine that appends. It guards the fields below.
	appendTurn     chan struct{}
	outcomeUnknown bool // the server may have stored an append that failed; see resolveOutcome
	byID           map[events.ID]events.Position
	lastOf         map[events.Subject]events.Position
	appendsClosed  bool
	awaitingSync   sync.WaitGroup // appends that wait for a sync after their turn

	mu          sync.Mutex      // guards the fields below; never held during I/O
	tip         events.Link     // the newest event that the server has
	unsynced    []events.Record // events after head, up to tip: not known to be durable
	head        events.Link     // the newest event that readers see
	recent      recentRecords   // ends at head unless it is empty
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

// advanceTip moves the tip to a record that the server has acknowledged. The caller
// holds appendTurn.
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

// syncAndPublish syncs every event up to the tip. Then it moves the head there, for
// readers and for the manifest.
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
		return nil // a later append has moved it already
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

// markReadOnly makes the log read-only, because the store is damaged or the disk has
// failed. Later reasons are ignored.
func (l *factLog) markReadOnly(err error) {
	l.cfg.Logger.Error("the log is read-only until the daemon restarts", "error", err)
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

// close waits for running appends, refuses further ones and ends followers.
func (l *factLog) close() {
	l.appendTurn <- struct{}{}
	l.appendsClosed = true
	<-l.appendTurn
	l.awaitingSync.Wait()
	close(l.closed)
}

// waitForHead returns when the head has reached p. The server delivers a fact to
// subscribers before it answers the append, so a subscriber would otherwise find the log
// without the fact.
func (l *factLog) waitForHead(ctx context.Context, p events.Position) error {
	if l.currentHead().Position >= p {
		return nil
	}
	err := l.acquireTurn(ctx) // a running append has its answer before its turn ends
	if err != nil {
		return err
	}
	if l.currentTip().Position < p {
		l.outcomeUnknown = true // the answer was lost
		err = l.resolveOutcome(ctx)
	}
	return errors.Join(err, l.releaseTurn())
}

// acquireTurn waits for the turn to append.
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

// releaseTurn ends the turn and returns when the events up to the tip are durable.
func (l *factLog) releaseTurn() error {
	l.awaitingSync.Add(1)
	defer l.awaitingSync.Done()
	<-l.appendTurn
	return l.syncAndPublish()
}

var errClosed = errors.New("the broker is closed")
