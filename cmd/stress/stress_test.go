package stress_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/cmd/ids"
	"cortex/cmd/readmodels"
	"cortex/consumers/projector"
	"cortex/consumers/recorder"
	"cortex/embedded/natslog"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections"
	"cortex/projections/answers"
	"cortex/projections/history"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// times returns the factor of the long form.
func times() int {
	if os.Getenv("CORTEX_STRESS") != "" {
		return 10
	}
	return 1
}

// rig is a log on disk and the read models that follow it.
type rig struct {
	tb       testing.TB
	broker   *natslog.Broker
	recorder *recorder.Recorder
	models   map[string]*projections.ReadModel
	project  *projector.Projector
	number   atomic.Int64
}

func newRig(tb testing.TB, names ...string) *rig {
	tb.Helper()
	dir := tb.TempDir()
	b, err := natslog.Open(tb.Context(), natslog.Config{Dir: dir, Create: true, Now: time.Now, NewID: ids.New})
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{tb: tb, broker: b, models: map[string]*projections.ReadModel{}}
	r.recorder = &recorder.Recorder{Log: b.Log(), Now: time.Now, NewID: ids.New, Actor: events.Actor{User: "root", Program: "cortex"}}
	open := func(ctx context.Context, path string) (projections.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, PoolSize: 8})
	}
	var follow []projector.ReadModel
	for _, name := range names {
		p, err := readmodels.ByName(name)
		if err != nil {
			tb.Fatal(err)
		}
		m, err := projections.New(p, open, projections.Config{Dir: filepath.Join(dir, "read"), Now: time.Now, OnDeadLetter: func(d projections.DeadLetter) { tb.Error(d) }})
		if err == nil {
			err = m.Open(tb.Context(), b.Log())
		}
		if err != nil {
			tb.Fatal(err)
		}
		r.models[name] = m
		follow = append(follow, m)
	}
	r.project = projector.New(b.Log(), follow, projector.Config{Report: func(model string, err error) { tb.Errorf("%s: %v", model, err) }})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = r.project.Run(ctx) })
	tb.Cleanup(func() {
		stop()
		running.Wait()
		for _, m := range r.models {
			if err := m.Close(); err != nil {
				tb.Error(err)
			}
		}
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

// request appends the fact that opens a transaction and returns its position.
func (r *rig) request(ctx context.Context) (events.Position, error) {
	n := int(r.number.Add(1))
	t := &events.Transaction{ID: events.TransactionID(ids.New())}
	rec, err := r.recorder.AppendToTransaction(ctx, recorder.Cause{}, t, &events.Requested{Number: n, Intent: events.Intent{
		Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: events.PackageName(fmt.Sprintf("package-%d", n%200))}}, CommandLine: "cortex install",
	}})
	return rec.Position, err
}

// answer appends a model's answer.
func (r *rig) answer(ctx context.Context, n int) (events.Position, error) {
	rec, err := r.recorder.Append(ctx, recorder.Cause{}, events.LogSubject(r.broker.Log().Host()), &events.LLMCompleted{
		Task: events.TaskInstall, Provider: "local", Model: "m", Question: "q", Answer: strings.Repeat("answer ", 20),
		Scope: "here", ExactKey: fmt.Sprintf("exact%d", n), CanonicalKey: fmt.Sprintf("canon%d", n),
	}, events.NoExpectation)
	return rec.Position, err
}

// spans collects durations.
type spans struct {
	mu   sync.Mutex
	list []time.Duration
}

func (s *spans) since(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, time.Since(t))
}

func (s *spans) String() string {
	slices.Sort(s.list)
	at := func(q int) time.Duration { return s.list[(len(s.list)-1)*q/100].Round(10 * time.Microsecond) }
	return fmt.Sprintf("p50 %s, p99 %s", at(50), at(99))
}

// runConcurrently runs f in n goroutines and returns their errors.
func runConcurrently(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func TestHundredPublishersLoseNothing(t *testing.T) {
	r := newRig(t, history.Name)
	const publishers = 100
	each := 15 * times()
	var durable, visible spans
	begin := time.Now()
	err := runConcurrently(publishers, func(int) error {
		for range each {
			at := time.Now()
			p, err := r.request(t.Context())
			if err != nil {
				return err
			}
			durable.since(at)
			if err := r.project.WaitFor(t.Context(), p); err != nil {
				return err
			}
			visible.since(at)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin)
	want := publishers * each
	seen := map[int]bool{}
	err = r.models[history.Name].Read(t.Context(), func(db *sql.DB) error {
		list, err := history.NewReader(db).List(t.Context(), history.Filter{})
		for _, x := range list {
			seen[x.Number] = true
		}
		if len(list) != want {
			t.Errorf("%d transactions of %d are in the history", len(list), want)
		}
		return err
	})
	if err != nil || len(seen) != want {
		t.Errorf("%d numbers of %d, %v", len(seen), want, err)
	}
	t.Logf("%d publishers, %d records, 0 errors: %.0f a second; durable %s; visible %s", publishers, want, float64(want)/took.Seconds(), &durable, &visible)
}

// Twenty publishers append without waiting for the read models. The batch size bounds the lag
// of a read model, whatever the number of events, and in the end the lag is 0.
func TestReadModelsKeepUpWithPublishers(t *testing.T) {
	var names []string
	for _, p := range readmodels.Definitions() {
		names = append(names, p.Name)
	}
	r := newRig(t, names...)
	each := 150 * times()
	const publishers, bound = 20, 1500
	done := make(chan error, 1)
	go func() {
		done <- runConcurrently(publishers, func(int) error {
			for range each {
				if _, err := r.request(t.Context()); err != nil {
					return err
				}
			}
			return nil
		})
	}()
	most := map[string]uint64{}
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		case <-time.After(2 * time.Millisecond):
		}
		for _, s := range r.project.Status(t.Context()) {
			most[s.Name] = max(most[s.Name], s.Lag)
		}
	}
	for name, lag := range most {
		if lag > bound {
			t.Errorf("%s had a lag of %d events", name, lag)
		}
	}
	head, err := r.broker.Log().Head(t.Context())
	if err == nil {
		err = r.project.WaitFor(t.Context(), head.Position)
	}
	for _, s := range r.project.Status(t.Context()) {
		if err != nil || s.Lag > 0 {
			t.Errorf("at the end %s has a lag of %d events, %v", s.Name, s.Lag, err)
		}
	}
	t.Logf("%d records; maximum lag: %v", publishers*each, most)
}

func TestAnswerCacheConcurrentReadersAndWriters(t *testing.T) {
	r := newRig(t, answers.Name)
	stored := 1_000 * times()
	var last events.Position
	for i := range stored {
		p, err := r.answer(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		last = p
	}
	if err := r.project.WaitFor(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.OpenReader(t.Context(), r.models[answers.Name].Path(), 8)
	if err != nil {
		t.Fatal(err)
	}
	reader := answers.NewReader(db)
	defer func() {
		if err := errors.Join(reader.Close(), db.Close()); err != nil {
			t.Error(err)
		}
	}()
	const readers, reads, writers, writes = 200, 100, 20, 50
	var read, written spans
	err = runConcurrently(readers+writers, func(i int) error {
		if i >= readers {
			for n := range writes {
				at := time.Now()
				if _, err := r.answer(t.Context(), stored+(i-readers)*writes+n); err != nil {
					return err
				}
				written.since(at)
			}
			return nil
		}
		for n := range reads {
			at := time.Now()
			want := fmt.Sprintf("exact%d", (i*reads+n)%stored)
			a, _, ok, err := reader.Lookup(t.Context(), answers.LookupKeys{Scope: "here", ExactKey: want, Now: at})
			if err != nil || !ok || a.ExactKey != want {
				return fmt.Errorf("%s: %+v, %v, %w", want, a, ok, err)
			}
			read.since(at)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.answer(t.Context(), stored+writers*writes)
	if err == nil {
		err = r.project.WaitFor(t.Context(), p)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i := range stored + writers*writes + 1 {
		if _, _, ok, err := reader.Lookup(t.Context(), answers.LookupKeys{Scope: "here", ExactKey: fmt.Sprintf("exact%d", i), Now: time.Now()}); !ok || err != nil {
			t.Fatalf("answer %d is lost: %v", i, err)
		}
	}
	t.Logf("%d entries: %d readers × %d, 0 errors, %s; %d writers × %d, none lost, %s", stored, readers, reads, &read, writers, writes, &written)
}
