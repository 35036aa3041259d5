package faults_test

import (
	"encoding/binary"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"cortex/consumers/llm/router"
	"cortex/consumers/recorder"
	"cortex/embedded/natslog"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections/history"
)

// jumps are successive errors of the clock.
var jumps = []time.Duration{0, -365 * 24 * time.Hour, 10 * 365 * 24 * time.Hour, -time.Hour, 0, -40 * 365 * 24 * time.Hour, 24 * time.Hour, 0}

// clock is a wall clock that the test sets.
type clock struct {
	mu    sync.Mutex
	wrong time.Duration
}

func (c *clock) set(wrong time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = wrong
}

// Now returns the time of the clock without a monotonic reading.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.wrong).Round(0)
}

// NewID returns an id that sorts by this clock.
func (c *clock) NewID() events.ID {
	id := uuid.Must(uuid.NewV7())
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(max(0, c.Now().UnixMilli())))
	copy(id[:6], ms[2:])
	return events.ID(id.String())
}

func TestClockJumpsKeepOrder(t *testing.T) {
	var c clock
	dir := t.TempDir()
	n := 0
	var submitted []events.Event
	for _, wrong := range jumps { // start the log at each error, then change it
		b, err := natslog.Open(t.Context(), natslog.Config{Dir: dir, Create: true, Now: c.Now, NewID: c.NewID})
		check(t, err)
		m := openModel(t, filepath.Join(dir, "read"), b.Log())
		if reason := m.RebuildReason(); reason != "" && n > 0 {
			t.Errorf("%s", reason)
		}
		for range 2 {
			n++
			s := recorder.Recorder{Log: b.Log(), Now: c.Now, NewID: c.NewID, Actor: events.Actor{User: "root"}}
			tx := &events.Transaction{ID: events.TransactionID(c.NewID())}
			r, err := s.AppendToTransaction(t.Context(), recorder.Cause{}, tx, &events.Requested{Number: n, Intent: events.Intent{
				Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "cowsay"}}, CommandLine: "cortex install",
			}})
			check(t, err)
			if want := events.Position(n + 1); r.Position != want {
				t.Errorf("transaction %d is at %d, not at %d", n, r.Position, want)
			}
			e, err := events.NewRequestEvent(events.Event{
				ID: c.NewID(), Host: b.Host(), Subject: events.TransactionSubject(tx.ID), Transaction: tx.ID, Time: c.Now(),
			}, &events.CancelRequest{Reason: "for a test"})
			check(t, err)
			submitted = append(submitted, e)
			c.set(wrong)
		}
		for i, e := range submitted { // submit all requests again after this jump
			p, err := b.Submit(t.Context(), e)
			if err != nil || int(p) != i+1 {
				t.Errorf("request %d is at %d, %v", i+1, p, err)
			}
		}
		follow(t, m, b.Log())
		diff, err := m.VerifyAgainst(t.Context(), b.Log())
		if err != nil || !diff.Empty() {
			t.Errorf("%v, %v", diff, err)
		}
		requireOrder(t, m.Path(), n)
		check(t, m.Close())
		check(t, b.Close())
	}
}

// requireOrder checks that the history is in the order of the log.
func requireOrder(t *testing.T, path string, n int) {
	t.Helper()
	db, err := sqlite.OpenReader(t.Context(), path, 1)
	check(t, err)
	defer func() { check(t, db.Close()) }()
	r := history.NewReader(db)
	last, err := r.Show(t.Context(), "last")
	check(t, err)
	if last.Number != n {
		t.Errorf("the last transaction is %d, not %d", last.Number, n)
	}
	list, err := r.List(t.Context(), history.Filter{})
	check(t, err)
	var numbers []int
	for _, tx := range list {
		numbers = append(numbers, tx.Number)
	}
	for i, got := range numbers {
		if want := n - i; got != want {
			t.Fatalf("history lists %v", numbers)
		}
	}
	if len(numbers) != n {
		t.Errorf("history lists %v", numbers)
	}
}

func TestBudgetFollowsClockJumps(t *testing.T) {
	var c clock
	b := router.NewBudget(100, 1000, c.Now)
	const year = 365 * 24 * time.Hour
	for i, wrong := range []time.Duration{0, -year, 10 * year, -40 * year, 0} {
		c.set(wrong)
		settle, err := b.Reserve(60)
		if err != nil {
			t.Fatalf("jump %d, by %s: %v", i, wrong, err)
		}
		settle(60)
		if _, err := b.Reserve(60); events.KindOf(err) != events.ErrDenied {
			t.Errorf("jump %d: a second reservation on the same day: %v", i, err)
		}
	}
}
