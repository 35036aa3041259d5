package logtest

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
)

func testCancelled(t *testing.T, l events.Log) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e := NewEvent(t, l.Host(), NewTransaction(), &events.Cancelled{})
	if _, err := l.Append(ctx, e, events.NoExpectation); events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("append with a canceled context: %v, want unavailable", err)
	}
	want, err := l.Append(t.Context(), e, events.NoExpectation) // the contract allows it
	if err != nil {
		t.Fatal(err)
	}
	got := ReadAll(t, l, events.Query{Filters: []string{events.FactFilter(l.Host(), e.Subject)}})
	if diff := cmp.Diff([]events.Record{want}, got); diff != "" {
		t.Errorf("after trying again (-appended +read):\n%s", diff)
	}
	ended := false
	for _, err := range l.Read(ctx, events.Query{}) {
		ended = err != nil
	}
	if !ended {
		t.Error("reading with a canceled context ends without an error")
	}
}

// runConcurrently runs f n times at once and waits for all.
func runConcurrently(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func testConcurrent(t *testing.T, l events.Log) {
	const writers, times = 50, 4
	before := headOf(t, l)
	got := make([][]events.Record, writers)
	runConcurrently(writers, func(i int) {
		s := NewTransaction()
		var last events.Position
		for range times {
			r, err := l.Append(t.Context(), NewEvent(t, l.Host(), s, &events.Cancelled{}), events.Expect{Subject: s, LastPosition: last})
			if err != nil {
				t.Error(err)
				return
			}
			last = r.Position
			got[i] = append(got[i], r)
		}
	})
	seen := map[events.Position]bool{}
	for _, records := range got {
		for _, r := range records {
			seen[r.Position] = true
		}
	}
	if len(seen) != writers*times {
		t.Errorf("%d positions for %d appends", len(seen), writers*times)
	}
	if n := headOf(t, l).Position - before.Position; n != writers*times {
		t.Errorf("the log grew by %d, want %d", n, writers*times)
	}
}

func testRace(t *testing.T, l events.Log) {
	s := NewTransaction()
	errs := make([]error, 20)
	runConcurrently(len(errs), func(i int) {
		_, errs[i] = l.Append(t.Context(), NewEvent(t, l.Host(), s, &events.Cancelled{}), events.Expect{Subject: s})
	})
	won := 0
	for _, err := range errs {
		switch events.KindOf(err) {
		case "":
			won++
		case events.ErrConflict:
		default:
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

func testSameID(t *testing.T, l events.Log) {
	e := NewEvent(t, l.Host(), NewTransaction(), &events.Cancelled{})
	records := make([]events.Record, 20)
	runConcurrently(len(records), func(i int) {
		var err error
		if records[i], err = l.Append(t.Context(), e, events.NoExpectation); err != nil {
			t.Error(err)
		}
	})
	for _, r := range records[1:] {
		if diff := cmp.Diff(records[0], r); diff != "" {
			t.Fatalf("one id, two records (-one +other):\n%s", diff)
		}
	}
	if n := len(ReadAll(t, l, events.Query{Filters: []string{events.FactFilter(l.Host(), e.Subject)}})); n != 1 {
		t.Errorf("it is stored %d times", n)
	}
}

func testFollow(t *testing.T, l events.Log) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	mine := NewTransaction()
	start := headOf(t, l).Position
	want := []events.Record{Append(t, l, mine, &events.Cancelled{Reason: "already there"})}
	Append(t, l, NewTransaction(), &events.Cancelled{Reason: "of another"})

	var got []events.Record
	q := events.Query{After: start, Filters: []string{events.FactFilter(l.Host(), mine)}}
	for r, err := range l.Follow(ctx, q) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
		if len(got) == 5 {
			cancel()
			continue
		}
		if len(got) == len(want) { // each append follows the receipt of the one before
			Append(t, l, NewTransaction(), &events.Cancelled{Reason: "of another"})
			want = append(want, Append(t, l, mine, &events.Cancelled{Reason: "later"}))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("followed (-appended +seen):\n%s", diff)
	}
}

func testFollowers(t *testing.T, l events.Log) {
	const followers, times = 10, 40
	after := headOf(t, l).Position
	done := make(chan struct{})
	go func() {
		defer close(done)
		runConcurrently(followers, func(int) {
			next := after
			for r, err := range l.Follow(t.Context(), events.Query{After: after}) {
				if err != nil {
					t.Error(err)
					return
				}
				if next++; r.Position != next {
					t.Errorf("saw %d, want %d", r.Position, next)
					return
				}
				if next == after+times {
					return // stops early
				}
			}
			t.Errorf("ended at %d before its context", next)
		})
	}()
	for range times {
		Append(t, l, NewTransaction(), &events.Cancelled{})
	}
	<-done
}
