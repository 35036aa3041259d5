package projector_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/consumers/projector"
	"cortex/events"
	"cortex/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = events.HostID("01940000-0000-7000-8000-000000000001")

// model counts what it is given and can be told to fail.
type model struct {
	name string

	mu      sync.Mutex
	at      events.Link
	batches int
	fail    error // once
	broken  bool  // for ever, as corrupt
}

func (m *model) Name() string { return m.name }

func (m *model) Checkpoint(context.Context) (events.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at, nil
}

func (m *model) Apply(_ context.Context, batch []events.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken {
		return &events.Error{Kind: events.ErrCorrupt, Err: errors.New("broken")}
	}
	if err := m.fail; err != nil {
		m.fail = nil
		return err
	}
	for _, r := range batch {
		if r.Position <= m.at.Position {
			continue
		}
		if err := r.Verify(m.at); err != nil {
			return err
		}
		m.at = r.Link()
	}
	m.batches++
	return nil
}

func fill(t *testing.T, log *memlog.Log, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		e, err := events.New(events.Event{
			ID: events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", i)), Host: host, Subject: events.MachineSubject(host), Time: time.Unix(1, 0),
		}, &events.Drifted{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(t.Context(), e, events.Anything); err != nil {
			t.Fatal(err)
		}
	}
}

func start(t *testing.T, log *memlog.Log, models ...projector.ReadModel) *projector.Projector {
	p := projector.New(log, models, projector.Config{MinPause: time.Millisecond})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestModelsReachTheHeadAndFollowIt(t *testing.T) {
	log := memlog.New(host)
	fill(t, log, 1, 1000)
	a, b := &model{name: "a"}, &model{name: "b"}
	p := start(t, log, a, b)
	if err := p.WaitFor(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	fill(t, log, 1001, 10)
	if err := p.WaitFor(t.Context(), 1010); err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Status(t.Context()) {
		if s.Position != 1010 || s.Lag != 0 || s.Err != nil {
			t.Errorf("%+v", s)
		}
	}
	if a.batches > 500 {
		t.Errorf("%d batches for 1010 records", a.batches)
	}
}

func TestAPassingFailureIsTriedAgain(t *testing.T) {
	log := memlog.New(host)
	fill(t, log, 1, 5)
	m := &model{name: "m", fail: errors.New("the disk was busy")}
	p := start(t, log, m)
	if err := p.WaitFor(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
}

func TestACorruptModelStopsAloneAndIsReported(t *testing.T) {
	log := memlog.New(host)
	fill(t, log, 1, 5)
	good, bad := &model{name: "good"}, &model{name: "bad", broken: true}
	p := start(t, log, good, bad)
	if err := p.WaitFor(t.Context(), 5); !errors.Is(err, events.ErrCorrupt) {
		t.Fatalf("%v, want the model's own error", err)
	}
	for _, s := range p.Status(t.Context()) {
		if (s.Err != nil) != (s.Name == "bad") {
			t.Errorf("%+v", s)
		}
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	p := start(t, memlog.New(host), &model{name: "m"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.WaitFor(ctx, 1); !errors.Is(err, events.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}
