package logtest

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"cortex/events"
)

// NewID returns a new id.
func NewID() events.ID { return events.ID(uuid.Must(uuid.NewV7()).String()) }

// NewTransaction returns the subject of a new transaction.
func NewTransaction() events.Subject {
	return events.TransactionSubject(events.TransactionID(NewID()))
}

// NewEvent puts a fact about s into a complete envelope of host h, with a new id.
func NewEvent(t testing.TB, h events.HostID, s events.Subject, f events.Fact) events.Event {
	t.Helper()
	e, err := events.NewFactEvent(events.Event{
		ID: NewID(), Host: h, Subject: s, Time: time.Now(),
		Actor: events.Actor{UID: 1000, User: "kim", Program: "logtest"},
	}, f)
	if err != nil {
		t.Fatalf("build an event: %v", err)
	}
	return e
}

// Append appends a fact and fails the test when the log refuses it.
func Append(t testing.TB, l events.Log, s events.Subject, f events.Fact) events.Record {
	t.Helper()
	r, err := l.Append(t.Context(), NewEvent(t, l.Host(), s, f), events.NoExpectation)
	if err != nil {
		t.Fatalf("append %s: %v", f.Kind(), err)
	}
	return r
}

// ReadAll returns every record that a query selects.
func ReadAll(t testing.TB, l events.Log, q events.Query) []events.Record {
	t.Helper()
	var out []events.Record
	for r, err := range l.Read(t.Context(), q) {
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		out = append(out, r)
	}
	return out
}

// VerifyAll reads a whole log, checks its chain and returns its records.
func VerifyAll(t testing.TB, l events.Log) []events.Record {
	t.Helper()
	all := ReadAll(t, l, events.Query{})
	var prev events.Link
	for _, r := range all {
		if err := r.Verify(prev); err != nil {
			t.Fatalf("the chain is broken: %v", err)
		}
		prev = r.Link()
	}
	if head := headOf(t, l); head != prev {
		t.Fatalf("the head is %+v, the last record %+v", head, prev)
	}
	return all
}

func headOf(t testing.TB, l events.Log) events.Link {
	t.Helper()
	head, err := l.Head(t.Context())
	if err != nil {
		t.Fatalf("head: %v", err)
	}
	return head
}
