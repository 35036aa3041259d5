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

// factLog is the [events.Log] on the facts stream. Appends go through one
// goroutine at a time, which alone knows the head; readers use what was
// acknowledged.
type factLog struct {
	cfg    Config
	host   events.HostID
	engine *engine
	keeper *keeper
	names  *names

	// turn is held by the one that appends. It guards the fields below.
	turn    chan struct{}
	unsure  bool // an append's outcome is unknown: look before the next
	byID    map[events.ID]events.Position
	last    map[events.Subject]events.Position
	stopped bool

	mu     sync.Mutex // guards the fields below, and is never held while waiting
	head   events.Link
	recent tail          // ends at head, unless it is empty
	fault  error         // once set, the log is read-only
	grown  chan struct{} // closed and replaced when head moves
	closed chan struct{}
}

var _ events.Log = (*factLog)(nil)

func newFactLog(cfg Config, h events.HostID, e *engine, head events.Link, k *keeper) *factLog {
	return &factLog{
		cfg: cfg, host: h, engine: e, keeper: k, head: head, names: newNames(cfg, FactsStream),
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

// advance publishes a new head to readers and to the manifest.
func (l *factLog) advance(r events.Record) {
	if len(l.byID) >= remembered {
		clear(l.byID)
	}
	if len(l.last) >= remembered {
		clear(l.last)
	}
	l.byID[r.ID], l.last[r.Subject] = r.Position, r.Position
	l.mu.Lock()
	l.head = r.Link()
	l.recent.add(r)
	close(l.grown)
	l.grown = make(chan struct{})
	l.mu.Unlock()
	l.keeper.note(r.Link())
}

// condemn makes the log read-only because the store was found damaged.
func (l *factLog) condemn(err error) {
	l.cfg.Logger.Error("the log is damaged and stays read-only", "error", err)
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

// close refuses further appends once the running one is done, and ends followers.
func (l *factLog) close() {
	l.turn <- struct{}{}
	l.stopped = true
	<-l.turn
	close(l.closed)
}

// catchUp returns once the head is at p or beyond. The server hands a fact to
// subscribers before the appender has read its answer: who reacts to it must not
// find the log without it.
func (l *factLog) catchUp(ctx context.Context, p events.Position) error {
	if l.headNow().Position >= p {
		return nil
	}
	select {
	case l.turn <- struct{}{}: // the append that is going on has ended
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if l.headNow().Position >= p {
		return nil
	}
	l.unsure = true // its answer was lost
	return l.resolve(ctx)
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
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return events.Record{}, unwritten(op, e.Subject, ctx.Err())
	}
	if l.stopped {
		return events.Record{}, unwritten(op, e.Subject, errClosed)
	}
	var out events.Record
	err := l.engine.patiently(ctx, func() error {
		err := l.faulty()
		if err != nil {
			return err
		}
		if err = l.resolve(ctx); err != nil {
			return unwritten(op, e.Subject, err)
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

// append stores e when it is this goroutine's turn and the head is known. It
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
		head := l.headNow()
		r := events.Record{Event: e, Position: head.Position + 1, Prev: head.Hash}
		r.Hash = events.Chain(r.Prev, r.Position, r.Event)
		msg, err := encode(r, l.engine.seal)
		if err != nil {
			return events.Record{}, err
		}
		out, err := l.publish(ctx, r, msg)
		if !wrongLast(err) || l.headNow() == head {
			return out, err
		}
	}
}

// publish sends the record and makes sense of the answer.
func (l *factLog) publish(ctx context.Context, r events.Record, msg *nats.Msg) (events.Record, error) {
	ack, err := l.engine.js.PublishMsg(ctx, msg)
	if err == nil {
		err = l.names.settle()
	}
	switch {
	case err == nil && ack.Duplicate:
		return l.at(ctx, events.Position(ack.Sequence))
	case err == nil:
		l.advance(r) // the server stores it at the expected place or not at all
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
// what is behind the known head.
func (l *factLog) resolve(ctx context.Context) error {
	if !l.unsure {
		return nil
	}
	clear(l.byID)
	clear(l.last)
	info, err := l.engine.facts.Info(ctx)
	if err != nil {
		return fmt.Errorf("ask for the head: %w", err)
	}
	end := events.Position(info.State.LastSeq)
	for r, err := range l.scan(ctx, events.Query{After: l.headNow().Position}, end) {
		if err == nil {
			err = follows(r, l.headNow())
		}
		if err != nil {
			return err
		}
		l.advance(r)
	}
	if have := l.headNow().Position; have != end {
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
		if last > l.headNow().Position { // an append whose answer was lost
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
		for r, err := range l.Read(ctx, q) {
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
