package events

import (
	"context"
	"iter"
	"strings"
)

// Log is a host's log of facts: one total order, one hash chain, append-only.
//
// Promises of every implementation (package logtest checks them):
//
//   - Append is atomic and durable: when it returns without error, the fact
//     survives the loss of the process and of power.
//   - Append is idempotent by event id: appending an id that is among the log's
//     recent events returns the stored record.
//   - Expectations are checked against the log itself; a failed one returns an
//     [ErrConflict] error and appends nothing.
//   - Positions start at 1 and have no holes; each record links to the one before.
//   - Safe for concurrent use.
type Log interface {
	// Append stores one fact, as strictly as [DecodeStrict]. It fails with
	// ErrConflict (the expectation does not hold), ErrFull (no space), ErrCorrupt
	// (the event is malformed, or the store is damaged and now read-only) or
	// ErrUnavailable (the outcome is unknown: append the same event again).
	Append(ctx context.Context, e Event, x Expect) (Record, error)
	// Read yields the matching records after q.After, in order, up to the head at
	// the time of the call. A damaged record ends the sequence with an ErrCorrupt
	// error.
	Read(ctx context.Context, q Query) iter.Seq2[Record, error]
	// Follow is Read that waits for more at the head. The sequence ends without an
	// error when ctx is done.
	Follow(ctx context.Context, q Query) iter.Seq2[Record, error]
	// Last returns the newest record that matches a NATS filter; ok is false when
	// there is none.
	Last(ctx context.Context, filter string) (r Record, ok bool, err error)
	// Head returns the position of the last record, or the zero Link if there is none.
	Head(ctx context.Context) (Link, error)
	// Host returns the host whose log this is.
	Host() HostID
}

// Expect is the condition under which an append happens.
type Expect struct {
	// Subject is the aggregate whose last fact must be at LastPosition; 0 means that
	// it has none. The zero Subject expects nothing.
	Subject      Subject
	LastPosition Position
}

// NoExpectation expects nothing.
var NoExpectation = Expect{}

// Query selects records.
type Query struct {
	After   Position // exclusive; 0 starts at the first
	Filters []string // NATS filters (see FactFilter, KindFilter); none means all
}

// MatchFilter reports whether a NATS subject matches a filter with * and >.
func MatchFilter(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, token := range f {
		switch {
		case token == ">":
			return len(s) > i
		case i >= len(s):
			return false
		case token != "*" && token != s[i]:
			return false
		}
	}
	return len(f) == len(s)
}

// Match reports whether the query selects the record.
func (q Query) Match(r Record) bool {
	if r.Position <= q.After {
		return false
	}
	if len(q.Filters) == 0 {
		return true
	}
	subject := FactSubject(r.Event)
	for _, f := range q.Filters {
		if MatchFilter(f, subject) {
			return true
		}
	}
	return false
}
