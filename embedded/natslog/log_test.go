package natslog_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"cortex/embedded/natslog"
	"cortex/embedded/natslog/filestore/filestoretest"
	"cortex/events"
	"cortex/events/logtest"
)

func TestAppendConcurrentlyKeepsTheChain(t *testing.T) {
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { fill(t, b.Log(), 5) })
	}
	wg.Wait()
	if got := len(logtest.VerifyAll(t, b.Log())); got != 501 {
		t.Errorf("%d events", got)
	}
	closeBroker(t, b)
	logtest.VerifyAll(t, open(t, natslog.Config{Dir: dir}).Log())
}

func TestAppendWithLostAnswer(t *testing.T) {
	event := func(b *natslog.Broker, s events.Subject) events.Event {
		return logtest.NewEvent(t, b.Host(), s, &events.Cancelled{})
	}
	t.Run("appending the same event returns the stored record", func(t *testing.T) {
		b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
		s := logtest.NewTransaction()
		e := event(b, s)
		check(t, b.AppendUnnoticed(t.Context(), e))
		r, err := b.Log().Append(t.Context(), e, events.Expect{Subject: s})
		if err != nil || r.Position != 2 || r.ID != e.ID {
			t.Errorf("%v, %v", r, err)
		}
		if got := len(logtest.VerifyAll(t, b.Log())); got != 2 {
			t.Errorf("%d events", got)
		}
	})
	t.Run("appending another event continues after it", func(t *testing.T) {
		b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
		check(t, b.AppendUnnoticed(t.Context(), event(b, logtest.NewTransaction())))
		r, err := b.Log().Append(t.Context(), event(b, logtest.NewTransaction()), events.NoExpectation)
		if err != nil || r.Position != 3 {
			t.Errorf("%v, %v", r, err)
		}
		logtest.VerifyAll(t, b.Log())
	})
	t.Run("expectations include it", func(t *testing.T) {
		b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
		s := logtest.NewTransaction()
		check(t, b.AppendUnnoticed(t.Context(), event(b, s)))
		if _, err := b.Log().Append(t.Context(), event(b, s), events.Expect{Subject: s}); events.KindOf(err) != events.ErrConflict {
			t.Errorf("%v, want a conflict", err)
		}
		logtest.VerifyAll(t, b.Log())
	})
}

func TestAppendToFullStreamIsRefused(t *testing.T) {
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true, MaxBytes: 1 << 20})
	var stored events.Position
	var refused error
	for range 100 {
		e := logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.StepSucceeded{Output: strings.Repeat("x", 30<<10)})
		r, err := b.Log().Append(t.Context(), e, events.NoExpectation)
		if err != nil {
			refused = err
			break
		}
		stored = r.Position
	}
	if events.KindOf(refused) != events.ErrFull || events.HintOf(refused) == "" || stored < 20 {
		t.Fatalf("after %d events: %v", stored, refused)
	}
	if got := logtest.VerifyAll(t, b.Log()); events.Position(len(got)) != stored {
		t.Errorf("%d events, %d were stored", len(got), stored)
	}
	if h := b.Health(t.Context()); h.Writable || events.KindOf(h.Problem) != events.ErrFull {
		t.Errorf("health: %v, %v", h.Writable, h.Problem)
	}
	closeBroker(t, b)
	logtest.VerifyAll(t, open(t, natslog.Config{Dir: dir}).Log())
}

func TestAppendOnNearlyFullDiskIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=32m"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { check(t, unix.Unmount(dir, 0)) })
	b := open(t, natslog.Config{Dir: dir, Create: true, MinFree: 16 << 20})
	fill(t, b.Log(), 10)
	ballast := filepath.Join(dir, "ballast")
	check(t, os.WriteFile(ballast, make([]byte, 20<<20), 0o600))

	_, err := b.Log().Append(t.Context(), logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{}), events.NoExpectation)
	if events.KindOf(err) != events.ErrFull || events.HintOf(err) == "" {
		t.Errorf("append: %v", err)
	}
	if _, err := b.Submit(t.Context(), request(t, b)); events.KindOf(err) != events.ErrFull {
		t.Errorf("submit: %v", err)
	}
	if h := b.Health(t.Context()); h.Writable || h.Problem == nil || h.FreeDisk >= h.MinFree {
		t.Errorf("health: %+v", h)
	}
	if got := len(logtest.VerifyAll(t, b.Log())); got != 11 {
		t.Errorf("%d events", got)
	}
	check(t, os.Remove(ballast))
	fill(t, b.Log(), 10)
	if h := b.Health(t.Context()); !h.Writable || h.Problem != nil {
		t.Errorf("health with room: %+v", h)
	}
	logtest.VerifyAll(t, b.Log())
}

// big returns the directory of a store with several blocks, and its event 102.
func big(t *testing.T) (string, events.Record) {
	t.Helper()
	dir := t.TempDir()
	b := open(t, natslog.Config{Dir: dir, Create: true})
	var old events.Record
	for i := range 650 {
		r := logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.StepSucceeded{Output: strings.Repeat("x", 30<<10)})
		if i == 100 {
			old = r
		}
	}
	closeBroker(t, b)
	if n := len(blocks(t, dir)); n < 3 {
		t.Fatalf("only %d blocks", n)
	}
	return dir, old
}

func TestVerifyOlderEventsFindsDamage(t *testing.T) {
	dir, old := big(t)
	for _, first := range []uint64{1, 100, 100_000} {
		t.Run(fmt.Sprintf("undamaged log, %d events checked first", first), func(t *testing.T) {
			b := open(t, natslog.WithVerifyNewest(natslog.Config{Dir: image(t, dir)}, first))
			fill(t, b.Log(), 20)
			closeBroker(t, b) // waits for the check
			if h := b.Health(t.Context()); events.KindOf(h.Problem) == events.ErrCorrupt {
				t.Error(h.Problem)
			}
		})
	}
	t.Run("damage in the events checked first", func(t *testing.T) {
		dir := image(t, dir)
		flip(t, blocks(t, dir)[0], string(old.ID))
		refused(t, natslog.WithVerifyNewest(natslog.Config{Dir: dir}, 100_000), "checksum")
	})
	for name, do := range map[string]func(t *testing.T, dir string){
		"a flipped bit":            func(t *testing.T, dir string) { t.Helper(); flip(t, blocks(t, dir)[0], string(old.ID)) },
		"a missing record":         func(t *testing.T, dir string) { t.Helper(); takeOut(t, blocks(t, dir)[0]) },
		"a truncated block":        func(t *testing.T, dir string) { t.Helper(); check(t, os.Truncate(blocks(t, dir)[0], 5<<20)) },
		"a truncated second block": func(t *testing.T, dir string) { t.Helper(); check(t, os.Truncate(blocks(t, dir)[1], 5<<20)) },
		"a block without its end": func(t *testing.T, dir string) {
			t.Helper()
			all := blocks(t, dir)
			path := all[len(all)-2]
			whole := filestoretest.Read(t, path)
			filestoretest.Write(t, path, whole[:len(whole)-3])
		},
		"a rewritten event": func(t *testing.T, dir string) { t.Helper(); rewriteAfter(t, blocks(t, dir)[0], `"output":"x`) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := image(t, dir)
			do(t, dir)
			b, err := natslog.Open(t.Context(), natslog.WithVerifyNewest(natslog.Config{Dir: dir}, 1))
			if err != nil { // checkStreams has found it
				if events.KindOf(err) != events.ErrCorrupt {
					t.Error(err)
				}
				return
			}
			defer closeBroker(t, b)
			eventually(t, func() bool {
				_, err = b.Log().Append(t.Context(), logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{}), events.NoExpectation)
				return err != nil
			})
			if events.KindOf(err) != events.ErrCorrupt || events.HintOf(err) == "" {
				t.Errorf("append: %v", err)
			}
			if h := b.Health(t.Context()); h.Writable || events.KindOf(h.Problem) != events.ErrCorrupt {
				t.Errorf("health: %v", h.Problem)
			}
		})
	}
}

func TestReadReportsDamage(t *testing.T) {
	dir, old := big(t)
	for name, damage := range map[string]func(path string){
		"a flipped bit":     func(path string) { flip(t, path, string(old.ID)) },
		"a rewritten event": func(path string) { rewriteAfter(t, path, "ce-id: "+string(old.ID)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, natslog.Config{Dir: image(t, dir)})
			damage(blocks(t, b.Dir())[0]) // the server has not cached the block yet
			filter := events.FactFilter(b.Host(), old.Subject)
			for what, q := range map[string]events.Query{"all": {}, "after": {After: 90}, "one aggregate": {Filters: []string{filter}}} {
				var err error
				for _, err = range b.Log().Read(t.Context(), q) {
				}
				if events.KindOf(err) != events.ErrCorrupt {
					t.Errorf("reading %s ends with %v", what, err)
				}
			}
		})
	}
}

func TestClosedBrokerReturnsErrors(t *testing.T) {
	b := open(t, natslog.Config{Dir: t.TempDir(), Create: true})
	following := make(chan error)
	started := make(chan struct{})
	go func() {
		var last error
		for _, err := range b.Log().Follow(t.Context(), events.Query{}) {
			if err == nil {
				close(started)
			}
			last = err
		}
		following <- last
	}()
	<-started
	closeBroker(t, b)
	closeBroker(t, b)
	if err := <-following; events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("following ends with %v", err)
	}
	e := logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{})
	if _, err := b.Log().Append(t.Context(), e, events.NoExpectation); events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("append: %v", err)
	}
	if _, err := b.Submit(t.Context(), request(t, b)); events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("submit: %v", err)
	}
	if _, err := b.Subscriber(natslog.SubscriberConfig{Durable: "x"}).Subscribe(t.Context(), events.RequestFilter(b.Host())); err == nil {
		t.Error("subscribed")
	}
	var err error
	for _, err = range b.Log().Read(t.Context(), events.Query{}) {
	}
	if events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("read: %v", err)
	}
	if h := b.Health(t.Context()); h.Writable || errors.Is(h.Problem, nil) {
		t.Errorf("health: %+v", h)
	}
}
