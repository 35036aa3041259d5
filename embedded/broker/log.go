package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"cortex/events"
)

// remembered bounds what the log keeps in memory about recent events: their
// ids, and the last position of their aggregates.
const remembered = 8192

// factLog is the [events.Log] on the facts stream. Appends reach the server through one
// goroutine at a time, which alone knows the tip; those that do so while another waits for
// the disk are synced together. Readers are shown what is durable.
type factLog struct {
	cfg    Config
	host   events.HostID
	engine *engine
	keeper *keeper
	disk   *syncer

	// turn is held by the one that appends. It guards the fields below.
	turn    chan struct{}
	unsure  bool // an append's outcome is unknown: look before the next
	byID    map[events.ID]events.Position
	last    map[events.Subject]events.Position
	stopped bool
	syncing sync.WaitGroup // who had a turn and waits for the disk

	mu     sync.Mutex      // guards the fields below, and is never held while waiting
	tip    events.Link     // the last that the server has
	fresh  []events.Record // behind head, up to tip: not known to be durable
	head   events.Link     // the last that readers are shown
	recent tail            // ends at head, unless it is empty
	fault  error           // once set, the log is read-only
	grown  chan struct{}   // closed and replaced when head moves
	closed chan struct{}
}

var _ events.Log = (*factLog)(nil)

func newFactLog(cfg Config, h events.HostID, e *engine, head events.Link, k *keeper) *factLog {
	return &factLog{
		cfg: cfg, host: h, engine: e, keeper: k, tip: head, head: head, disk: newSyncer(cfg, FactsStream),
		turn: make(chan struct{}, 1), byID: map[events.ID]events.Position{}, last: map[events.Subject]events.Position{},
		grown: make(chan struct{}), closed: make(chan struct{}),
	}
}

// Host implements [events.Log].
func (l *factLog) Host() events.HostID { return l.host }

// Head implements [events.Log].
func (l *factLog) Head(context.Context) (events.Link, error) { return l.headNow(), nil }

func (l *factLog) headNow() events.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

func (l *factLog) tipNow() events.Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tip
}

// accept takes note of a record that the server has, in its turn.
func (l *factLog) accept(r events.Record) {
	if len(l.byID) >= remembered {
		clear(l.byID)
	}
	if len(l.last) >= remembered {
		clear(l.last)
	}
	l.byID[r.ID], l.last[r.Subject] = r.Position, r.Position
	l.mu.Lock()
	l.tip = r.Link()
	l.fresh = append(l.fresh, r)
	l.mu.Unlock()
}

// settle makes durable what the server has, and then shows it to readers and to the
// manifest.
func (l *factLog) settle() error {
	tip := l.tipNow().Position
	if l.headNow().Position >= tip {
		return nil
	}
	if err := l.disk.settle(); err != nil {
		if l.disk.broken() {
			l.condemn(err)
		}
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head.Position >= tip {
		return nil // who came later was faster
	}
	for len(l.fresh) > 0 && l.fresh[0].Position <= tip {
		l.head = l.fresh[0].Link()
		l.recent.add(l.fresh[0])
		l.fresh = l.fresh[1:]
	}
	close(l.grown)
	l.grown = make(chan struct{})
	l.keeper.note(l.head)
	return nil
}

// condemn makes the log read-only because the store was found damaged, or the disk
// failed to keep it.
func (l *factLog) condemn(err error) {
	l.cfg.Logger.Error("the log cannot be trusted to this disk and stays read-only", "error", err)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = err
	}
}

func (l *factLog) faulty() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// close refuses further appends once the running ones are done, and ends followers.
func (l *factLog) close() {
	l.turn <- struct{}{}
	l.stopped = true
	<-l.turn
	l.syncing.Wait()
	close(l.closed)
}

// catchUp returns once the head is at p or beyond. The server hands a fact to
// subscribers before the appender has read its answer: who reacts to it must not
// find the log without it.
func (l *factLog) catchUp(ctx context.Context, p events.Position) error {
	if l.headNow().Position >= p {
		return nil
	}
	err := l.enter(ctx) // who sends something has its answer
	if err != nil {
		return err
	}
	if l.tipNow().Position < p {
		l.unsure = true // its answer was lost
		err = l.resolve(ctx)
	}
	return errors.Join(err, l.leave())
}

// enter waits for a turn.
func (l *factLog) enter(ctx context.Context) error {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.stopped {
		<-l.turn
		return errClosed
	}
	return nil
}

// leave ends a turn and returns when what came of it is durable.
func (l *factLog) leave() error {
	l.syncing.Add(1)
	defer l.syncing.Done()
	<-l.turn
	return l.settle()
}

// Append implements [events.Log].
func (l *factLog) Append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	const op = "broker.Append"
	e.Time = e.Time.UTC().Round(0)
	if err := l.check(e); err != nil {
		return events.Record{}, err
	}
	if err := ctx.Err(); err != nil {
		return events.Record{}, unwritten(op, e.Subject, err)
	}
	if err := l.enter(ctx); err != nil {
		return events.Record{}, unwritten(op, e.Subject, err)
	}
	out, err := l.send(ctx, e, x)
	if syncErr := l.leave(); err == nil && syncErr != nil {
		return events.Record{}, unwritten(op, e.Subject, syncErr)
	}
	return out, err
}

// send has the server store e, in its turn.
func (l *factLog) send(ctx context.Context, e events.Event, x events.Expect) (out events.Record, err error) {
	err = l.engine.patiently(ctx, func() error {
		err := l.faulty()
		if err != nil {
			return err
		}
		if err = l.resolve(ctx); err != nil {
			return unwritten("broker.Append", e.Subject, err)
		}
		out, err = l.append(ctx, e, x)
		return err
	})
	return out, err
}

var errClosed = errors.New("the broker is closed")

// check refuses what is not a fact of this host.
func (l *factLog) check(e events.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if e.Host != l.host {
		return &events.Error{Op: "broker.Append", Kind: events.ErrInternal, Subject: string(e.Kind), Err: fmt.Errorf("it is of host %s, the log of %s", e.Host, l.host)}
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
			return l.at(ctx, p)
		}
		if x.Subject != (events.Subject{}) {
			stored, err := l.expect(ctx, e.ID, x)
			if err != nil || stored.Position > 0 {
				return stored, err
			}
		}
		if err := enoughRoom(l.cfg); err != nil {
			return events.Record{}, err
		}
		tip := l.tipNow()
		r := events.Record{Event: e, Position: tip.Position + 1, Prev: tip.Hash}
		r.Hash = events.Chain(r.Prev, r.Position, r.Event)
		msg, err := encode(r, l.engine.seal)
		if err != nil {
			return events.Record{}, err
		}
		out, err := l.publish(ctx, r, msg)
		if !wrongLast(err) || l.tipNow() == tip {
			return out, err
		}
	}
}

// publish sends the record and makes sense of the answer.
func (l *factLog) publish(ctx context.Context, r events.Record, msg *nats.Msg) (events.Record, error) {
	ack, err := l.engine.js.PublishMsg(ctx, msg)
	switch {
	case err == nil && ack.Duplicate:
		return l.at(ctx, events.Position(ack.Sequence))
	case err == nil:
		l.accept(r) // the server stores it at the expected place or not at all
		return r, nil
	case kindOf(err) == events.ErrFull:
		l.unsure = true // it is not stored; but look once more before the next
		return events.Record{}, unwritten("broker.Append", r.Subject, err)
	}
	// Whether it is stored is not known. Look now if there is time, otherwise
	// before the next append.
	l.unsure = true
	if lookErr := l.resolve(ctx); lookErr != nil {
		return events.Record{}, unwritten("broker.Append", r.Subject, errors.Join(err, lookErr))
	}
	if p, ok := l.byID[r.ID]; ok {
		return l.at(ctx, p)
	}
	return events.Record{}, unwritten("broker.Append", r.Subject, err)
}

// resolve finds out what became of an append with an unknown outcome, by reading
// what is behind the known tip.
func (l *factLog) resolve(ctx context.Context) error {
	if !l.unsure {
		return nil
	}
	clear(l.byID)
	clear(l.last)
	info, err := l.engine.facts.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask for the log's end: %w", err)
	}
	end := events.Position(info.State.LastSeq)
	for r, err := range l.scan(ctx, events.Query{After: l.tipNow().Position}, end) {
		if err == nil {
			err = follows(r, l.tipNow())
		}
		if err != nil {
			return err
		}
		l.accept(r)
	}
	if have := l.tipNow().Position; have != end {
		if l.engine.cluster != nil { // a server that has just begun to lead does not know everything yet
			return fmt.Errorf("the cluster shows %d events, and %d were stored", end, have)
		}
		l.condemn(damaged(FactsStream, fmt.Errorf("it ends at event %d, but event %d was stored", end, have)))
		return l.faulty()
	}
	l.unsure = false
	return nil
}

// expect checks an expectation. When it fails because the event itself was
// stored before, the stored record is given back.
func (l *factLog) expect(ctx context.Context, id events.ID, x events.Expect) (events.Record, error) {
	last, ok := l.last[x.Subject]
	if !ok {
		r, _, err := l.Last(ctx, events.FactFilter(l.host, x.Subject))
		if err != nil {
			return events.Record{}, err
		}
		last = r.Position
		if last > l.tipNow().Position { // an append whose answer was lost
			l.unsure = true
			if err := l.resolve(ctx); err != nil {
				return events.Record{}, unwritten("broker.Append", x.Subject, err)
			}
			return l.expect(ctx, id, x)
		}
		l.last[x.Subject] = last
	}
	if last == x.Last {
		return events.Record{}, nil
	}
	if last > x.Last {
		q := events.Query{After: x.Last, Filters: []string{events.FactFilter(l.host, x.Subject)}}
		for r, err := range l.scan(ctx, q, l.tipNow().Position) {
			if err != nil || r.ID == id {
				return r, err
			}
		}
	}
	return events.Record{}, &events.Error{
		Op: "broker.Append", Kind: events.ErrConflict, Subject: x.Subject.String(),
		Err: fmt.Errorf("its last event is %d, not %d", last, x.Last),
	}
}
