// Package memlog is an [events.Log] in memory, for tests and for folding a log
// that was read from a file. It keeps every promise of the contract except
// durability.
package memlog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"cortex/events"
)

// Log is an in-memory log. Use [New].
type Log struct {
	host events.HostID

	mu       sync.Mutex
	records  []events.Record
	byID     map[events.ID]int
	appended chan struct{} // closed and replaced at every append
}

var _ events.Log = (*Log)(nil)

// New returns an empty log of one host.
func New(host events.HostID) *Log {
	return &Log{host: host, byID: map[events.ID]int{}, appended: make(chan struct{})}
}

// Restore returns a log that holds stored records, such as those of an export. Unlike
// Append it accepts kinds and fields of a newer Cortex. The records must be the
// beginning of the host's log; a broken chain is an ErrCorrupt error.
func Restore(host events.HostID, records []events.Record) (*Log, error) {
	l := New(host)
	var prev events.Link
	for i, r := range records {
		if r.Host != host {
			return nil, &events.Error{Op: "memlog.Restore", Kind: events.ErrCorrupt, Subject: r.String(), Err: fmt.Errorf("it is of host %s, not of %s", r.Host, host)}
		}
		if err := r.Verify(prev); err != nil {
			return nil, err
		}
		l.byID[r.ID], prev = i, r.Link()
	}
	l.records = append(l.records, records...)
	return l, nil
}

// Host implements [events.Log].
func (l *Log) Host() events.HostID { return l.host }

// Append implements [events.Log].
func (l *Log) Append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	if err := ctx.Err(); err != nil {
		return events.Record{}, &events.Error{Op: "memlog.Append", Kind: events.ErrUnavailable, Err: err}
	}
	if err := l.validate(e); err != nil {
		return events.Record{}, err
	}
	e.Time = e.Time.UTC().Round(0)
	l.mu.Lock()
	defer l.mu.Unlock()
	if i, ok := l.byID[e.ID]; ok {
		return l.records[i], nil
	}
	if x.Subject != (events.Subject{}) {
		if last := l.lastOf(x.Subject); last != x.LastPosition {
			return events.Record{}, &events.Error{
				Op: "memlog.Append", Kind: events.ErrConflict, Subject: x.Subject.String(),
				Err: fmt.Errorf("its last event is %d, not %d", last, x.LastPosition),
			}
		}
	}
	r := events.Record{Event: e, Position: events.Position(len(l.records) + 1)}
	if n := len(l.records); n > 0 {
		r.Prev = l.records[n-1].Hash
	}
	r.Hash = events.ChainHash(r.Prev, r.Position, e)
	if err := checkRoundTrip(r); err != nil {
		return events.Record{}, err
	}
	l.byID[e.ID] = len(l.records)
	l.records = append(l.records, r)
	close(l.appended)
	l.appended = make(chan struct{})
	return r, nil
}

// validate refuses an event that is not a fact of this host.
func (l *Log) validate(e events.Event) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if e.Host != l.host {
		return &events.Error{Op: "memlog.Append", Kind: events.ErrInternal, Subject: string(e.Kind), Err: fmt.Errorf("the event is of host %s, the log of host %s", e.Host, l.host)}
	}
	_, err := events.DecodeStrict(e)
	return err
}

// checkRoundTrip refuses a record that a durable log could not store and read back
// unchanged.
func checkRoundTrip(r events.Record) error {
	h, err := events.EncodeHeaders(r)
	if err != nil {
		return err
	}
	back, err := events.DecodeHeaders(h, r.Data)
	if err != nil {
		return err
	}
	if back.Hash != events.ChainHash(back.Prev, back.Position, back.Event) {
		return &events.Error{Op: "memlog.Append", Kind: events.ErrInternal, Subject: string(r.Kind), Err: errors.New("its envelope cannot be encoded")}
	}
	return nil
}

func (l *Log) lastOf(s events.Subject) events.Position {
	for i := len(l.records) - 1; i >= 0; i-- {
		if l.records[i].Subject == s {
			return l.records[i].Position
		}
	}
	return 0
}

// Read implements [events.Log].
func (l *Log) Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(events.Record{}, err)
			return
		}
		records, _ := l.recordsAfter(q.After)
		for _, r := range records {
			if err := ctx.Err(); err != nil {
				yield(events.Record{}, err)
				return
			}
			if q.Match(r) && !yield(r, nil) {
				return
			}
		}
	}
}

// Follow implements [events.Log].
func (l *Log) Follow(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for ctx.Err() == nil {
			records, grown := l.recordsAfter(q.After)
			for _, r := range records {
				if ctx.Err() != nil || q.Match(r) && !yield(r, nil) {
					return
				}
				q.After = r.Position
			}
			select {
			case <-grown:
			case <-ctx.Done():
			}
		}
	}
}

// recordsAfter returns the records after p, and a channel that is closed when there are
// more.
func (l *Log) recordsAfter(p events.Position) ([]events.Record, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records[min(int(p), len(l.records)):], l.appended
}

// Last implements [events.Log].
func (l *Log) Last(_ context.Context, filter string) (events.Record, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.records) - 1; i >= 0; i-- {
		if events.MatchFilter(filter, events.FactSubject(l.records[i].Event)) {
			return l.records[i], true, nil
		}
	}
	return events.Record{}, false, nil
}

// Head implements [events.Log].
func (l *Log) Head(context.Context) (events.Link, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.records) == 0 {
		return events.Link{}, nil
	}
	return l.records[len(l.records)-1].Link(), nil
}
