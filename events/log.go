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
//   - Append is idempotent by event id: appending an id that the log's tail of
//     recent events already holds gives back the stored record.
//   - Expectations are checked against the log itself; a failed one returns an
//     [ErrConflict] error and appends nothing.
//   - Positions start at 1 and have no holes; each record links to the one before.
//   - Safe for concurrent use.
type Log interface {
	// Append stores one fact. It fails with ErrConflict (expectation), ErrFull
	// (no room), ErrCorrupt (the store was found damaged; it stays read-only) or
	// ErrUnavailable (the outcome is unknown: append the same event again).
	Append(ctx context.Context, e Event, x Expect) (Record, error)
	// Read gives the records after q.After that match, in order, up to the head
	// at the time of the call. A record that cannot be read back as it was
	// written ends the sequence with an ErrCorrupt error.
	Read(ctx context.Context, q Query) iter.Seq2[Record, error]
	// Follow is Read that does not end at the head but waits there for more,
	// until ctx is done; then the sequence ends without an error.
	Follow(ctx context.Context, q Query) iter.Seq2[Record, error]
	// LastPosition gives the newest record that matches a NATS filter; ok is false when
	// there is none.
	Last(ctx context.Context, filter string) (r Record, ok bool, err error)
	// Head is the place of the last record; the zero Link when there is none.
	Head(ctx context.Context) (Link, error)
	// Host is the host whose log this is.
	Host() HostID
}

// Expect is what must be true of the log for an append to happen.
type Expect struct {
	// Subject, when set, is the aggregate whose last fact must be at Last
	// (0: it must have none). When it is the zero Subject nothing is expected.
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
