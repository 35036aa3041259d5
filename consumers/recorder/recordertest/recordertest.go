// Package recordertest provides a recorder over a log in memory, for tests of the
// packages that append facts. Ids count up and the time stands still, so that a test
// can name both.
package recordertest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"cortex/consumers/recorder"
	"cortex/events"
	"cortex/events/memlog"
)

// Host is the host of the log.
const Host = events.HostID("01940000-0000-7000-8000-000000000001")

// Now is the time of every event.
var Now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// New returns a recorder over a new log.
func New() *recorder.Recorder {
	var n atomic.Int64
	return &recorder.Recorder{
		Log: memlog.New(Host), Actor: events.Actor{Program: "cortexd"},
		Now:   func() time.Time { return Now },
		NewID: func() events.ID { return events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", n.Add(1))) },
	}
}

// Key returns the key of a package on amd64.
func Key(name events.PackageName) events.PackageKey {
	return events.PackageKey{Name: name, Arch: "amd64"}
}

// Request returns a request of a user. Without a transaction it opens a new one.
func Request(t testing.TB, s *recorder.Recorder, txn events.TransactionID, uid int, req events.Request) events.Record {
	t.Helper()
	id := s.NewID()
	if txn == "" {
		txn = events.TransactionID(id)
	}
	e, err := events.NewRequestEvent(events.Event{
		ID: id, Host: Host, Subject: events.TransactionSubject(txn), Time: Now, Transaction: txn,
		Correlation: events.ID(txn), Actor: events.Actor{UID: uid, Program: "cortex"},
	}, req)
	if err != nil {
		t.Fatal(err)
	}
	return events.Record{Event: e}
}

// Append appends a fact about the machine.
func Append(t testing.TB, s *recorder.Recorder, f events.Fact) events.Record {
	t.Helper()
	r, err := s.Append(context.Background(), recorder.Cause{}, events.MachineSubject(Host), f, events.NoExpectation)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Transaction appends the facts of a new transaction in their order. It returns the
// transaction and the record of the last fact.
func Transaction(t testing.TB, s *recorder.Recorder, facts ...events.Fact) (*events.Transaction, events.Record) {
	t.Helper()
	txn := &events.Transaction{ID: events.TransactionID(s.NewID())}
	return txn, Continue(t, s, txn, facts...)
}

// Continue appends further facts of a transaction. It returns the last record.
func Continue(t testing.TB, s *recorder.Recorder, txn *events.Transaction, facts ...events.Fact) (last events.Record) {
	t.Helper()
	for _, f := range facts {
		var err error
		if last, err = s.AppendToTransaction(context.Background(), recorder.Cause{}, txn, f); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// Load returns a transaction as the log has it.
func Load(t testing.TB, s *recorder.Recorder, id events.TransactionID) *events.Transaction {
	t.Helper()
	txn, err := events.LoadTransaction(context.Background(), s.Log, id)
	if err != nil {
		t.Fatal(err)
	}
	return txn
}

// Facts returns the facts of a type, in the order of the log.
func Facts[F events.Fact](t testing.TB, s *recorder.Recorder) []F {
	t.Helper()
	var out []F
	for r, err := range s.Log.Read(context.Background(), events.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := f.(F); ok {
			out = append(out, f)
		}
	}
	return out
}
