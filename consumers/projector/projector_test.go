package projector_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
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

// model is a read model that counts its records and can fail.
type model struct {
	name string
	gate chan struct{} // if not nil, each Apply takes one token

	mu      sync.Mutex
	at      events.Link
	batches []int // sizes
	fail    error // of the next Apply only
	broken  bool  // every Apply returns ErrCorrupt
}

func (m *model) change(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *model) Name() string { return m.name }

func (m *model) Checkpoint(context.Context) (events.Link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at, nil
}

func (m *model) Apply(ctx context.Context, batch []events.Record) error {
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
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
	m.batches = append(m.batches, len(batch))
	return nil
}

func fill(t testing.TB, log *memlog.Log, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		e, err := events.NewFactEvent(events.Event{
			ID: events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", i)), Host: host, Subject: events.MachineSubject(host), Time: time.Unix(1, 0),
		}, &events.DriftDetected{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(t.Context(), e, events.NoExpectation); err != nil {
			t.Fatal(err)
		}
	}
}

func start(t testing.TB, log events.Log, models ...projector.ReadModel) *projector.Projector {
	p := projector.New(log, models, projector.Config{MinBackoff: time.Millisecond})
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

func TestRunReachesTheHeadAndFollowsIt(t *testing.T) {
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
	if a.batches[0] != 500 || a.batches[1] != 500 {
		t.Errorf("the backlog was applied in batches of %v", a.batches)
	}
}

func TestTemporaryFailureIsRetried(t *testing.T) {
	log := memlog.New(host)
	fill(t, log, 1, 5)
	m := &model{name: "m", fail: errors.New("the disk was busy")}
	p := start(t, log, m)
	if err := p.WaitFor(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
}

func TestCorruptModelStopsAndOthersContinue(t *testing.T) {
	log := memlog.New(host)
	fill(t, log, 1, 5)
	good, bad := &model{name: "good"}, &model{name: "bad", broken: true}
	p := start(t, log, good, bad)
	if err := p.WaitFor(t.Context(), 5); !errors.Is(err, events.ErrCorrupt) {
		t.Fatalf("%v, want the error of the read model", err)
	}
	for _, s := range p.Status(t.Context()) {
		if (s.Err != nil) != (s.Name == "bad") {
			t.Errorf("%+v", s)
		}
	}
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	p := start(t, memlog.New(host), &model{name: "m"})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.WaitFor(ctx, 1); !errors.Is(err, events.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestRecordsAppendedDuringApplyAreOneBatch(t *testing.T) {
	log := memlog.New(host)
	m := &model{name: "m", gate: make(chan struct{})}
	p := start(t, log, m)
	fill(t, log, 1, 1)
	fill(t, log, 2, 40) // Apply of the first record is blocked; its batch may contain some of these
	for range 41 {
		select {
		case m.gate <- struct{}{}:
		case <-reached(p, 41):
		}
	}
	if err := p.WaitFor(t.Context(), 41); err != nil {
		t.Fatal(err)
	}
	if len(m.batches) > 20 {
		t.Errorf("41 records were applied in %d batches", len(m.batches))
	}
}

// reached returns a channel that is closed when every read model is at pos.
func reached(p *projector.Projector, pos events.Position) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.WaitFor(context.Background(), pos)
	}()
	return done
}

func TestResumeContinuesFromTheCheckpoint(t *testing.T) {
	log := memlog.New(host)
	fill(t, log, 1, 5)
	m := &model{name: "m", broken: true}
	p := start(t, log, m)
	if err := p.WaitFor(t.Context(), 5); !errors.Is(err, events.ErrCorrupt) {
		t.Fatal(err)
	}
	if s := p.Status(t.Context())[0]; !s.Stopped || s.Lag != 5 || s.Error == "" {
		t.Errorf("%+v", s)
	}
	m.change(func() { m.broken = false })
	if err := p.Resume("m"); err != nil {
		t.Fatal(err)
	}
	// WaitFor may still return the old error, because Resume is asynchronous.
	for err := error(events.ErrCorrupt); errors.Is(err, events.ErrCorrupt); err = p.WaitFor(t.Context(), 5) {
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	if s := p.Status(t.Context())[0]; s.Stopped || s.Err != nil || s.Position != 5 {
		t.Errorf("%+v", s)
	}
	if err := p.Resume("unknown"); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("an unknown read model: %v", err)
	}
}

func TestResumeReadsTheCheckpointAgain(t *testing.T) {
	log := memlog.New(host)
	fill(t, log, 1, 5)
	m := &model{name: "m"}
	p := start(t, log, m)
	if err := p.WaitFor(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	m.change(func() { m.at = events.Link{} }) // as if the file was replaced by an empty one
	fill(t, log, 6, 1)
	if err := p.WaitFor(t.Context(), 6); !errors.Is(err, events.ErrCorrupt) {
		t.Fatalf("a record that does not follow the checkpoint: %v", err)
	}
	if err := p.Resume("m"); err != nil {
		t.Fatal(err)
	}
	for err := error(events.ErrCorrupt); errors.Is(err, events.ErrCorrupt); err = p.WaitFor(t.Context(), 6) {
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
	m.change(func() {
		if m.at.Position != 6 {
			t.Errorf("the checkpoint is at %d", m.at.Position)
		}
	})
}

// brokenLog fails the first calls of Follow after one record.
type brokenLog struct {
	*memlog.Log
	mu    sync.Mutex
	fails int
	kind  events.ErrorKind
}

func (l *brokenLog) Follow(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fails == 0 {
		return l.Log.Follow(ctx, q)
	}
	l.fails--
	return func(yield func(events.Record, error) bool) {
		for r, err := range l.Read(ctx, q) {
			if !yield(r, err) {
				return
			}
			break // after one record
		}
		yield(events.Record{}, &events.Error{Kind: l.kind, Err: errors.New("the log fails")})
	}
}

func TestFailedFollowIsRetried(t *testing.T) {
	log := &brokenLog{Log: memlog.New(host), fails: 3, kind: events.ErrUnavailable}
	fill(t, log.Log, 1, 9)
	p := start(t, log, &model{name: "m"})
	if err := p.WaitFor(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedLogStopsTheReadModels(t *testing.T) {
	log := &brokenLog{Log: memlog.New(host), fails: 1, kind: events.ErrCorrupt}
	fill(t, log.Log, 1, 9)
	m := &model{name: "m"}
	p := start(t, log, m)
	if err := p.WaitFor(t.Context(), 1); err != nil {
		t.Fatalf("the record before the damage was not applied: %v", err)
	}
	if err := p.WaitFor(t.Context(), 9); !errors.Is(err, events.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

func TestErrorsAreReported(t *testing.T) {
	log := memlog.New(host)
	fill(t, log, 1, 1)
	reports := make(chan string, 10)
	m := &model{name: "m", fail: errors.New("the disk was busy")}
	p := projector.New(log, []projector.ReadModel{m}, projector.Config{
		MinBackoff: time.Millisecond, Report: func(model string, err error) { reports <- model + ": " + err.Error() },
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	if got := <-reports; got != "m: the disk was busy" {
		t.Errorf("reported %q", got)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// BenchmarkLatency measures the time from an append until WaitFor returns.
func BenchmarkLatency(b *testing.B) {
	log := memlog.New(host)
	p := start(b, log, &model{name: "m"})
	n := 0
	for b.Loop() {
		n++
		fill(b, log, n, 1)
		if err := p.WaitFor(b.Context(), events.Position(n)); err != nil {
			b.Fatal(err)
		}
	}
}
