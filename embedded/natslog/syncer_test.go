package natslog_test

import (
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

// Appends that reach the server during a sync share the next one. None is acknowledged or
// visible before that.
func TestAppendConcurrentlySharesSyncs(t *testing.T) {
	const many = 20
	var syncs atomic.Int32
	syncs.Store(-1000) // ignore the syncs of Open
	first, resume := make(chan struct{}), make(chan struct{})
	b := open(t, natslog.WithSync(natslog.Config{Dir: t.TempDir(), Create: true}, func(f *os.File) error {
		if syncs.Add(1) == 1 {
			close(first)
			<-resume
		}
		return f.Sync()
	}))
	fill(t, b.Log(), 1)
	before, err := b.Log().Head(t.Context())
	check(t, err)
	syncs.Store(0)
	var wg sync.WaitGroup
	var acknowledged atomic.Int32
	add := func() {
		wg.Go(func() {
			_, err := b.Log().Append(t.Context(), logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{}), events.NoExpectation)
			if err != nil {
				t.Error(err)
			}
			acknowledged.Add(1)
		})
	}
	add()
	<-first
	for range many {
		add()
	}
	stored := func() events.Position {
		s, err := b.JetStream().Stream(t.Context(), natslog.FactsStream)
		check(t, err)
		return events.Position(s.CachedInfo().State.LastSeq)
	}
	eventually(t, func() bool { return stored() == before.Position+1+many })
	if head, err := b.Log().Head(t.Context()); err != nil || head != before || acknowledged.Load() != 0 {
		t.Errorf("during the sync the log ends at %d and %d are acknowledged, want %d and none (%v)", head.Position, acknowledged.Load(), before.Position, err)
	}
	close(resume)
	wg.Wait()
	if n := syncs.Load(); n > many/2 {
		t.Errorf("%d syncs for %d concurrent appends", n, many+1)
	}
	if got := len(logtest.VerifyAll(t, b.Log())); events.Position(got) != before.Position+1+many {
		t.Errorf("%d events, want %d", got, before.Position+1+many)
	}
}

// The kernel reports a failed write once. Later syncs succeed although data is missing.
func TestAppendAfterFailedSyncIsRefused(t *testing.T) {
	dir := t.TempDir()
	var fails atomic.Bool
	b := open(t, natslog.WithSync(natslog.Config{Dir: dir, Create: true}, func(f *os.File) error {
		if fails.Load() {
			return syscall.EIO
		}
		return f.Sync()
	}))
	fill(t, b.Log(), 3)
	before, err := b.Log().Head(t.Context())
	check(t, err)
	fails.Store(true)
	add := func() error {
		_, err := b.Log().Append(t.Context(), logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{}), events.NoExpectation)
		return err
	}
	if err := add(); !errors.Is(err, events.ErrUnavailable) || !errors.Is(err, syscall.EIO) {
		t.Errorf("an append that could not be synced: %v", err)
	}
	fails.Store(false)
	if err := add(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the next append: %v", err)
	}
	if head, err := b.Log().Head(t.Context()); err != nil || head != before {
		t.Errorf("readers see event %d, want %d (%v)", head.Position, before.Position, err)
	}
	closeBroker(t, b)
	b = open(t, natslog.Config{Dir: dir})
	check(t, func() error {
		_, err := b.Log().Append(t.Context(), logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{}), events.NoExpectation)
		return err
	}())
	logtest.VerifyAll(t, b.Log())
}

// A process that was killed may leave facts in the kernel's cache. The next Open must sync them
// before readers see them.
func TestOpenSyncsExistingBlocks(t *testing.T) {
	left := used(t)["crashed"]
	for _, stream := range []string{natslog.FactsStream, natslog.RequestsStream} {
		cfg := natslog.WithSync(natslog.Config{Dir: image(t, left)}, func(f *os.File) error {
			if strings.Contains(f.Name(), stream) {
				return syscall.EIO
			}
			return f.Sync()
		})
		if b, err := natslog.Open(t.Context(), cfg); !errors.Is(err, syscall.EIO) {
			t.Errorf("with files of %s that cannot be synced: %v", stream, err)
			if err == nil {
				closeBroker(t, b)
			}
		}
	}
}
