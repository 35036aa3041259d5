package natslog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"cortex/embedded/natslog"
	"cortex/embedded/natslog/natstest"
	"cortex/events"
	"cortex/events/logtest"
)

// testCluster is the cluster in which open stores logs; nil means a server in this process.
var testCluster *natslog.ClusterConfig

// TestClusterRunsTheOtherTests runs tests again that must pass wherever the log is stored: with
// one server and with a cluster of three, each with TLS and credentials.
func TestClusterRunsTheOtherTests(t *testing.T) {
	same := map[string]func(*testing.T){
		"the contract of the log":        TestLogContract,
		"a hundred appenders":            TestAppendConcurrentlyKeepsTheChain,
		"a lost answer":                  TestAppendWithLostAnswer,
		"requests are stored once":       TestSubmitStoresRequestOnce,
		"invalid requests":               TestSubmitRefusesInvalidRequests,
		"reading a message":              TestReadMessage,
		"progress":                       TestProgressReachesFollowers,
		"a message is the event":         TestSubscribeMessageIsTheEvent,
		"a nacked message comes first":   TestSubscribeNackedMessageComesFirst,
		"a subscription resumes by name": TestSubscribeResumesByName,
	}
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := natstest.New(t, n)
			testCluster = c.Config()
			defer func() { testCluster = nil }()
			for name, test := range same {
				t.Run(name, test)
			}
		})
	}
}

// on opens a log in a cluster.
func on(t *testing.T, c *natstest.Cluster, dir string) *natslog.Broker {
	t.Helper()
	return open(t, natslog.Config{Dir: dir, Create: true, Cluster: c.Config()})
}

func TestClusterOutageLosesNothing(t *testing.T) {
	for name, outage := range map[string]func(c *natstest.Cluster, waitForProgress func()){
		"one after the other": func(c *natstest.Cluster, waitForProgress func()) {
			for i := range 3 {
				c.Stop(i)
				waitForProgress() // two of three are enough
				time.Sleep(awayFor())
				c.Start(i)
				time.Sleep(2 * time.Second) // it catches up; when the next server stops, two must have every event
			}
		},
		"all at once": func(c *natstest.Cluster, waitForProgress func()) {
			waitForProgress()
			c.StopAll()
			time.Sleep(awayFor())
			c.StartAll()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := natstest.New(t, 3)
			dir := t.TempDir()
			b := on(t, c, dir)
			w := startWork(t, b)
			outage(c, w.waitForProgress)
			w.waitForProgress()
			acked := w.stop()
			all := logtest.VerifyAll(t, b.Log())
			for _, r := range all {
				if p, ok := acked[r.ID]; ok && p != r.Position {
					t.Errorf("%s was acknowledged at %d and is stored at %d", r.ID, p, r.Position)
				}
				delete(acked, r.ID)
			}
			if len(acked) > 0 {
				t.Errorf("%d acknowledged events of %d are lost", len(acked), len(all))
			}
			closeBroker(t, b)
			if got := len(logtest.VerifyAll(t, on(t, c, dir).Log())); got != len(all) {
				t.Errorf("%d events after opening again, want %d", got, len(all))
			}
		})
	}
}

// work appends events from five goroutines and handles them.
type work struct {
	t      *testing.T
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	acked map[events.ID]events.Position
	seen  map[string]bool
}

func startWork(t *testing.T, b *natslog.Broker) *work {
	t.Helper()
	w := &work{t: t, acked: map[events.ID]events.Position{}, seen: map[string]bool{}}
	// A message that was in flight when a server stopped comes again after AckWait.
	sub := b.Subscriber(natslog.SubscriberConfig{Durable: "worker", AckWait: 2 * time.Second, CloseTimeout: 20 * time.Millisecond})
	messages, err := sub.Subscribe(t.Context(), events.KindFilter(b.Host(), events.KindCancelled))
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	for range 5 {
		w.wg.Go(func() {
			for ctx.Err() == nil {
				r := logtest.Append(t, b.Log(), logtest.NewTransaction(), &events.Cancelled{})
				w.mu.Lock()
				w.acked[r.ID] = r.Position
				w.mu.Unlock()
			}
		})
	}
	w.wg.Go(func() {
		for {
			select {
			case m := <-messages:
				w.mu.Lock()
				w.seen[m.UUID] = true
				w.mu.Unlock()
				m.Ack()
			case <-ctx.Done():
				return
			}
		}
	})
	return w
}

// waitForProgress waits until more events are appended and handled.
func (w *work) waitForProgress() {
	w.t.Helper()
	count := func() (int, int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return len(w.acked), len(w.seen)
	}
	acked, seen := count()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if a, s := count(); a > acked+10 && s > seen+10 {
			return
		}
	}
	a, s := count()
	w.t.Errorf("no progress: %d appended, then %d; %d handled, then %d", acked, a, seen, s)
}

func (w *work) stop() map[events.ID]events.Position {
	w.cancel()
	w.wg.Wait()
	return w.acked
}

// awayFor returns how long servers are stopped: a minute with CORTEX_CRASH=long.
func awayFor() time.Duration {
	if os.Getenv("CORTEX_CRASH") == "long" {
		return time.Minute
	}
	return time.Second
}

func TestClusterUnreachableEndsWithAnError(t *testing.T) {
	c := natstest.New(t, 1)
	cfg := natslog.Config{Dir: t.TempDir(), Create: true, Cluster: c.Config()}
	cfg.Cluster.RetryTimeout = 300 * time.Millisecond
	b := open(t, cfg)
	c.StopAll()
	e := logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{})
	if _, err := b.Log().Append(t.Context(), e, events.NoExpectation); events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("append: %v, want unavailable", err)
	}
	if _, err := b.Submit(t.Context(), request(t, b)); events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("submit: %v, want unavailable", err)
	}
	if h := b.Health(t.Context()); h.Writable || h.Problem == nil {
		t.Errorf("health: %+v", h)
	}
	if _, err := natslog.Open(t.Context(), natslog.Config{Dir: t.TempDir(), Create: true, Cluster: c.Config()}); events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("open: %v, want unavailable", err)
	}
	c.StartAll()
	r, err := b.Log().Append(t.Context(), e, events.NoExpectation)
	for end := time.Now().Add(deliveryTimeout); err != nil && time.Now().Before(end); {
		r, err = b.Log().Append(t.Context(), e, events.NoExpectation)
	}
	if err != nil || r.Position != 2 {
		t.Errorf("afterwards: %d, %v", r.Position, err)
	}

	cfg.Dir = t.TempDir()
	cfg.Cluster.RetryTimeout = time.Hour
	b = open(t, cfg)
	c.StopAll()
	failed := make(chan error)
	go func() {
		_, err := b.Log().Append(context.Background(), logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{}), events.NoExpectation)
		failed <- err
	}()
	time.Sleep(100 * time.Millisecond)
	closeBroker(t, b)
	if err := <-failed; events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("closed while it waits: %v", err)
	}
}

func TestClusterCreateResumesAfterInterruption(t *testing.T) {
	c := natstest.New(t, 1)
	dir := t.TempDir()
	b := on(t, c, dir)
	host := b.Host()
	closeBroker(t, b)
	m := string(read(t, manifestFile(dir)))
	unfinished := strings.Replace(m, `"host"`, `"creating": true, "host"`, 1)
	write(t, manifestFile(dir), []byte(unfinished))
	b = on(t, c, dir)
	if b.Host() != host || len(logtest.VerifyAll(t, b.Log())) != 1 {
		t.Errorf("host %s, was %s", b.Host(), host)
	}
	fill(t, b.Log(), 1)
	closeBroker(t, b)
	write(t, manifestFile(dir), []byte(unfinished))
	refusedWith(t, natslog.Config{Dir: dir, Create: true, Cluster: c.Config()}, events.ErrCorrupt, "marks the log as unfinished")
}

// refusedWith checks that a log is refused and why.
func refusedWith(t *testing.T, cfg natslog.Config, kind events.ErrorKind, wantText string) {
	t.Helper()
	b, err := natslog.Open(t.Context(), cfg)
	if err == nil {
		closeBroker(t, b)
	}
	if events.KindOf(err) != kind || !strings.Contains(fmt.Sprint(err), wantText) {
		t.Errorf("%v, want %s with %q", err, kind, wantText)
	}
}

// TestClusterChangesByOthersAreFound changes the streams as an administrator of the cluster can.
func TestClusterChangesByOthersAreFound(t *testing.T) {
	facts := func(b *natslog.Broker) string { return natslog.FactsStream + "_" + string(b.Host()) }
	for name, tt := range map[string]struct {
		do       func(ctx context.Context, js jetstream.JetStream, stream string) error
		wantText string
	}{
		"the stream removed": {func(ctx context.Context, js jetstream.JetStream, s string) error {
			return js.DeleteStream(ctx, s)
		}, "cannot open"},
		"the stream created again": {func(ctx context.Context, js jetstream.JetStream, s string) error {
			return again(ctx, js, s)
		}, "stream in the manifest"},
		"old events dropped": {func(ctx context.Context, js jetstream.JetStream, s string) error {
			return change(ctx, js, s, func(c *jetstream.StreamConfig) { c.MaxMsgs = 3 })
		}, "configuration was changed"},
		"old events dropped, and the limit restored": {func(ctx context.Context, js jetstream.JetStream, s string) error {
			return errors.Join(
				change(ctx, js, s, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 3, jetstream.DiscardOld }),
				change(ctx, js, s, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = -1, jetstream.DiscardNew }))
		}, "begins at event"},
	} {
		t.Run(name, func(t *testing.T) {
			c := natstest.New(t, 1)
			dir := t.TempDir()
			b := on(t, c, dir)
			fill(t, b.Log(), 6)
			stream := facts(b)
			closeBroker(t, b)
			js, err := jetstream.New(c.Connect())
			check(t, err)
			check(t, tt.do(t.Context(), js, stream))
			refusedWith(t, natslog.Config{Dir: dir, Cluster: c.Config()}, events.ErrCorrupt, tt.wantText)
		})
	}
	t.Run("a missing key", func(t *testing.T) {
		c := natstest.New(t, 1)
		dir := t.TempDir()
		closeBroker(t, on(t, c, dir))
		check(t, os.Remove(filepath.Join(dir, "cluster.key")))
		refusedWith(t, natslog.Config{Dir: dir, Cluster: c.Config()}, events.ErrCorrupt, "key")
	})
	t.Run("settings with another location", func(t *testing.T) {
		c := natstest.New(t, 1)
		there, here := t.TempDir(), t.TempDir()
		closeBroker(t, on(t, c, there))
		closeBroker(t, open(t, natslog.Config{Dir: here, Create: true}))
		refusedWith(t, natslog.Config{Dir: there, Create: true}, events.ErrUsage, "stored in a cluster")
		refusedWith(t, natslog.Config{Dir: here, Create: true, Cluster: c.Config()}, events.ErrUsage, "stored in files")
	})
}

func change(ctx context.Context, js jetstream.JetStream, stream string, f func(*jetstream.StreamConfig)) error {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	cfg := s.CachedInfo().Config
	f(&cfg)
	_, err = js.UpdateStream(ctx, cfg)
	return err
}

func again(ctx context.Context, js jetstream.JetStream, stream string) error {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	cfg := s.CachedInfo().Config
	if err := js.DeleteStream(ctx, stream); err != nil {
		return err
	}
	_, err = js.CreateStream(ctx, cfg)
	return err
}

// TestClusterUnsignedMessagesAreRefused publishes an approval with a valid chain, with all
// permissions in the cluster but without the key.
func TestClusterUnsignedMessagesAreRefused(t *testing.T) {
	c := natstest.New(t, 1)
	t.Run("a request", func(t *testing.T) {
		b := on(t, c, t.TempDir())
		got, _ := subscribe(t, b, events.RequestFilter(b.Host()))
		forged := request(t, b)
		check(t, natslog.Forge(t.Context(), c.Connect(), events.Record{Event: forged}, events.RequestSubject(forged)))
		mine := submit(t, b)
		if m := next(t, got); m.UUID != string(mine.ID) {
			t.Errorf("the forged request was delivered: %v", m.Metadata)
		} else {
			m.Ack()
		}
		if _, err := b.ReadMessage(t.Context(), natslog.RequestsStream, 1); events.KindOf(err) != events.ErrCorrupt {
			t.Errorf("read again: %v", err)
		}
	})
	t.Run("a fact", func(t *testing.T) {
		dir := t.TempDir()
		b := on(t, c, dir)
		got, _ := subscribe(t, b, events.KindFilter(b.Host(), events.KindApproved))
		head, err := b.Log().Head(t.Context())
		check(t, err)
		e := logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Approved{How: "forged"})
		r := events.Record{Event: e, Position: head.Position + 1, Prev: head.Hash}
		r.Hash = events.ChainHash(r.Prev, r.Position, r.Event)
		check(t, natslog.Forge(t.Context(), c.Connect(), r, events.FactSubject(e)))
		select {
		case m := <-got:
			t.Errorf("the forged approval was delivered: %v", m.Metadata)
		case <-time.After(300 * time.Millisecond):
		}
		own := logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{})
		if _, err := b.Log().Append(t.Context(), own, events.NoExpectation); events.KindOf(err) != events.ErrCorrupt {
			t.Errorf("append after it: %v, want corrupt", err)
		}
		closeBroker(t, b)
		refusedWith(t, natslog.Config{Dir: dir, Cluster: c.Config()}, events.ErrCorrupt, "no valid signature of this host")
	})
}

func TestClusterRefusesCredentialsReadableByOthers(t *testing.T) {
	c := natstest.New(t, 1)
	cfg := natslog.Config{Dir: t.TempDir(), Create: true, Cluster: c.Config()}
	check(t, os.Chmod(cfg.Cluster.Credentials, 0o640))
	refusedWith(t, cfg, events.ErrUsage, "other users have access")
	cfg.Cluster.Credentials = filepath.Join(t.TempDir(), "none")
	write(t, cfg.Cluster.Credentials, []byte("nothing"))
	check(t, os.Chmod(cfg.Cluster.Credentials, 0o600))
	refusedWith(t, cfg, events.ErrUsage, "no seed")
	cfg.Cluster.Credentials = ""
	refusedWith(t, cfg, events.ErrUnavailable, "")
	cfg.Cluster = c.Config()
	check(t, os.Chmod(cfg.Cluster.Credentials, 0o600))
	cfg.Cluster.CA = ""
	refusedWith(t, cfg, events.ErrUnavailable, "certificate")
}

// TestClusterDocumentedPermissionsSuffice uses the log as a user with the permissions in
// docs/nats.md, and checks that this user cannot delete the log.
func TestClusterDocumentedPermissionsSuffice(t *testing.T) {
	c := natstest.New(t, 1)
	host := events.HostID(logtest.NewID())
	publish, subscribed := rights(t, host)
	c.Restrict(publish, subscribed)
	dir := t.TempDir()
	cfg := natslog.Config{Dir: dir, Host: host, Create: true, Cluster: c.Config()}
	cfg.Cluster.RetryTimeout = deliveryTimeout
	b := open(t, cfg)
	fill(t, b.Log(), 700)
	got, _ := subscribe(t, b, events.RequestFilter(host))
	facts, _ := subscribe(t, b, events.KindFilter(host, events.KindStepSucceeded))
	e := submit(t, b)
	if m := next(t, got); m.UUID != string(e.ID) {
		t.Errorf("request %s", m.UUID)
	} else {
		m.Ack()
	}
	next(t, facts).Ack()
	next(t, facts).Ack()
	for _, stream := range []string{natslog.RequestsStream, natslog.FactsStream} {
		if _, err := b.ReadMessage(t.Context(), stream, 1); err != nil {
			t.Error(err)
		}
	}
	if h := b.Health(t.Context()); !h.Writable {
		t.Error(h.Problem)
	}
	ctx, cancel := context.WithCancel(t.Context())
	mine := events.TransactionID(logtest.NewID())
	told := b.FollowProgress(ctx, mine)
	b.SendProgress(events.Progress{Transaction: mine, Message: "x"})
	if p := <-told; p.Message != "x" {
		t.Errorf("progress %+v", p)
	}
	cancel()
	before := len(logtest.VerifyAll(t, b.Log()))
	js, err := jetstream.New(c.Connect(), jetstream.WithDefaultTimeout(100*time.Millisecond))
	check(t, err)
	stream := natslog.FactsStream + "_" + string(host)
	if js.DeleteStream(t.Context(), stream) == nil || again(t.Context(), js, stream) == nil {
		t.Error("the permissions allow deleting the stream")
	}
	closeBroker(t, b)
	cfg.Create = false
	if got := len(logtest.VerifyAll(t, open(t, cfg).Log())); got != before {
		t.Errorf("%d events, want %d", got, before)
	}
}

// rights returns the permissions in docs/nats.md.
func rights(t *testing.T, host events.HostID) (publish, subscribe []string) {
	t.Helper()
	text := string(read(t, "../../docs/nats.md"))
	_, block, _ := strings.Cut(text, "```\npublish\n")
	block, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("docs/nats.md has no list of permissions")
	}
	first, second, _ := strings.Cut(strings.ReplaceAll(block, "HOST", string(host)), "subscribe\n")
	return strings.Fields(first), strings.Fields(second)
}
