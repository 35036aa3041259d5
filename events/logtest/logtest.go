// Package logtest is the suite that every [events.Log] passes. [Run] checks the
// promises of the contract on logs that the caller opens, a new log for each subtest.
// Every reader that a subtest starts has ended when the subtest ends.
//
// Its helpers build envelopes and read logs; other tests may use them.
package logtest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
)

// OpenLog opens a new log and removes it when the test ends. For a durable log, reopen
// closes it and opens it again; otherwise reopen is nil.
type OpenLog = func(t *testing.T) (log events.Log, reopen func() events.Log)

// Run checks a log.
func Run(t *testing.T, open OpenLog) {
	tests := []struct {
		name string
		test func(t *testing.T, l events.Log)
	}{
		{"facts are read in order, complete and without holes", testOrder},
		{"an id is stored once", testIdempotent},
		{"an expectation that fails appends nothing", testExpectation},
		{"an event beyond a limit or that is not a fact is refused", testRefused},
		{"a fact at the limit is stored completely", testAtLimit},
		{"an envelope that cannot be encoded is refused or stored unchanged", testUnencodableHeaders},
		{"an append with a canceled context can be repeated", testCancelled},
		{"concurrent appends keep the chain", testConcurrent},
		{"of many appends with one expectation exactly one succeeds", testRace},
		{"of many appends with one id one is stored", testSameID},
		{"reading ends at the head at the time of the call", testReadEndsAtHead},
		{"reading starts after a position and applies its filters", testFilters},
		{"reading may be stopped early", testReadLeftEarly},
		{"following yields stored and new facts until its context ends", testFollow},
		{"many readers follow at once", testFollowers},
		{"last returns the newest match", testLast},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, _ := open(t)
			tt.test(t, l)
			VerifyAll(t, l)
		})
	}
	t.Run("a reopened log is the same log", func(t *testing.T) {
		l, reopen := open(t)
		if reopen == nil {
			t.Skip("not durable")
		}
		testReopen(t, l, reopen)
	})
}

func testOrder(t *testing.T, l events.Log) {
	before := headOf(t, l)
	var want []events.Record
	for range 30 {
		r := Append(t, l, NewTransaction(), &events.Cancelled{Reason: "täglich <>& \u2028"})
		if n := before.Position + events.Position(len(want)) + 1; r.Position != n {
			t.Fatalf("appended at %d, want %d", r.Position, n)
		}
		want = append(want, r)
	}
	got := ReadAll(t, l, events.Query{After: before.Position})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-appended +read):\n%s", diff)
	}
	for _, r := range got {
		if err := r.Verify(before); err != nil {
			t.Fatal(err)
		}
		before = r.Link()
	}
}

func testIdempotent(t *testing.T, l events.Log) {
	s := NewTransaction()
	e := NewEvent(t, l.Host(), s, &events.Cancelled{})
	lock := events.Expect{Subject: s}
	first, err := l.Append(t.Context(), e, lock)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // the aggregate and the log move on
		Append(t, l, s, &events.Cancelled{})
		Append(t, l, NewTransaction(), &events.Cancelled{})
	}
	before := headOf(t, l)
	for _, x := range []events.Expect{lock, events.NoExpectation} {
		again, err := l.Append(t.Context(), e, x)
		if err != nil {
			t.Fatalf("append again expecting %+v: %v", x, err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("again (-first +again):\n%s", diff)
		}
	}
	if after := headOf(t, l); after != before {
		t.Errorf("appending again moved the head from %d to %d", before.Position, after.Position)
	}
}

func testExpectation(t *testing.T, l events.Log) {
	s, other := NewTransaction(), NewTransaction()
	try := func(x events.Expect) (events.Record, error) {
		return l.Append(t.Context(), NewEvent(t, l.Host(), s, &events.Cancelled{}), x)
	}
	refused := func(x events.Expect) {
		t.Helper()
		before := headOf(t, l)
		if _, err := try(x); events.KindOf(err) != events.ErrConflict {
			t.Errorf("expecting %+v: %v, want a conflict", x, err)
		}
		if after := headOf(t, l); after != before {
			t.Errorf("a refused append moved the head to %d", after.Position)
		}
	}
	refused(events.Expect{Subject: s, LastPosition: headOf(t, l).Position + 1})
	first, err := try(events.Expect{Subject: s})
	if err != nil {
		t.Fatal(err)
	}
	refused(events.Expect{Subject: s})
	Append(t, l, other, &events.Cancelled{}) // another subject, so that s does not change
	refused(events.Expect{Subject: s, LastPosition: first.Position + 1})
	second, err := try(events.Expect{Subject: s, LastPosition: first.Position})
	if err != nil {
		t.Fatal(err)
	}
	refused(events.Expect{Subject: s, LastPosition: first.Position})
	if _, err := try(events.Expect{Subject: other, LastPosition: second.Position - 1}); err != nil {
		t.Errorf("expecting something of another aggregate: %v", err)
	}
}

func testRefused(t *testing.T, l events.Log) {
	good := NewEvent(t, l.Host(), NewTransaction(), &events.Cancelled{})
	with := func(change func(*events.Event)) events.Event {
		e := good
		e.ID = NewID()
		change(&e)
		return e
	}
	before := headOf(t, l)
	for name, e := range map[string]events.Event{
		"too much data": with(func(e *events.Event) {
			e.Data = []byte(`{"reason":"` + strings.Repeat("x", events.MaxEventBytes) + `"}`)
		}),
		"too long headers":   with(func(e *events.Event) { e.Actor.TTY = strings.Repeat("x", events.MaxHeaderBytes) }),
		"not a UUID":         with(func(e *events.Event) { e.ID = "1" }),
		"no subject":         with(func(e *events.Event) { e.Subject = events.Subject{} }),
		"another host":       with(func(e *events.Event) { e.Host = events.HostID(NewID()) }),
		"an unknown kind":    with(func(e *events.Event) { e.Kind = "transaction.forgotten.v1" }),
		"a request":          with(func(e *events.Event) { e.Kind = events.KindApproveRequested }),
		"data of other kind": with(func(e *events.Event) { e.Kind = events.KindStepStarted; e.Data = []byte(`{"x":1}`) }),
		"no data":            with(func(e *events.Event) { e.Data = nil }),
	} {
		if _, err := l.Append(t.Context(), e, events.NoExpectation); err == nil {
			t.Errorf("%s was accepted", name)
		} else if k := events.KindOf(err); k.Retryable() {
			t.Errorf("%s: %v is of kind %s, which is retryable", name, err, k)
		}
	}
	if after := headOf(t, l); after != before {
		t.Errorf("refused appends moved the head to %d", after.Position)
	}
}

func testAtLimit(t *testing.T, l events.Log) {
	empty := NewEvent(t, l.Host(), NewTransaction(), &events.Cancelled{Reason: "x"})
	room := events.MaxEventBytes - len(empty.Data) + 1
	want := Append(t, l, empty.Subject, &events.Cancelled{Reason: strings.Repeat("x", room)})
	if len(want.Data) != events.MaxEventBytes {
		t.Fatalf("the test's event has %d bytes", len(want.Data))
	}
	got := ReadAll(t, l, events.Query{After: want.Position - 1})
	if len(got) != 1 || !bytes.Equal(got[0].Data, want.Data) || got[0].Link() != want.Link() {
		t.Error("the largest event is not read back unchanged")
	}
}

func testUnencodableHeaders(t *testing.T, l events.Log) {
	for _, change := range []func(*events.Event){
		func(e *events.Event) { e.Actor.TTY = "\xff" },
		func(e *events.Event) { e.Actor.User = "a\x00b\r\nc" },
		func(e *events.Event) { e.TraceParent = " 00-x " },
		func(e *events.Event) { e.TraceParent = "\t" },
	} {
		e := NewEvent(t, l.Host(), NewTransaction(), &events.Cancelled{})
		change(&e)
		want, err := l.Append(t.Context(), e, events.NoExpectation)
		if err != nil {
			continue
		}
		got := ReadAll(t, l, events.Query{After: want.Position - 1})
		if diff := cmp.Diff([]events.Record{want}, got); diff != "" {
			t.Errorf("accepted but not stored unchanged (-appended +read):\n%s", diff)
		}
	}
}
