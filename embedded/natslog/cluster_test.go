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

// place is where [newestFile] keeps logs: nil in our own process.
var place *natslog.ClusterConfig

// TestWithServersOfOthers runs what must hold wherever the log is kept: over one
// server and over a cluster of three, each with TLS and credentials.
func TestWithServersOfOthers(t *testing.T) {
	same := map[string]func(*testing.T){
		"the contract of the log":             TestKeepsTheContractOfTheLog,
		"a hundred appenders":                 TestAHundredAppendersAtOnceKeepTheChain,
		"a lost answer":                       TestALostAnswerIsFoundOut,
		"requests are stored once":            TestARequestIsStoredOnce,
		"no request to this host":             TestWhatIsNoRequestToThisHostIsNotStored,
		"a stored message is read again":      TestAStoredMessageIsReadAgain,
		"progress":                            TestProgressReachesThoseWhoFollow,
		"a message is the event":              TestAMessageIsTheEvent,
		"a refused message comes again first": TestARefusedMessageComesAgainBeforeTheNext,
		"a name goes on where it stopped":     TestANameGoesOnWhereItStopped,
	}
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := natstest.New(t, n)
			place = c.Config()
			defer func() { place = nil }()
			for name, test := range same {
				t.Run(name, test)
			}
		})
	}
}

// on opens a log that a cluster keeps.
func on(t *testing.T, c *natstest.Cluster, dir string) *natslog.Broker {
	t.Helper()
	return open(t, natslog.Config{Dir: dir, Create: true, Cluster: c.Config()})
}

func TestNothingIsLostWhenServersGoAndComeBack(t *testing.T) {
	for name, away := range map[string]func(c *natstest.Cluster, goesOn func()){
		"one after the other": func(c *natstest.Cluster, goesOn func()) {
			for i := range 3 {
				c.Stop(i)
				goesOn() // two of three are enough
				time.Sleep(awayFor())
				c.Start(i)
				time.Sleep(2 * time.Second) // it catches up: when the next goes, two must have everything
			}
		},
		"all at once": func(c *natstest.Cluster, goesOn func()) {
			goesOn()
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
			away(c, w.goesOn)
			w.goesOn()
			acked := w.stop()
			all := logtest.VerifyAll(t, b.Log())
			for _, r := range all {
				if p, ok := acked[r.ID]; ok && p != r.Position {
					t.Errorf("%s was acknowledged at %d and lies at %d", r.ID, p, r.Position)
				}
				delete(acked, r.ID)
			}
			if len(acked) > 0 {
				t.Errorf("%d acknowledged events are gone of %d", len(acked), len(all))
			}
			closeBroker(t, b)
			if got := len(logtest.VerifyAll(t, on(t, c, dir).Log())); got != len(all) {
				t.Errorf("%d events after opening again, not %d", got, len(all))
			}
		})
	}
}

// work appends from five goroutines, and handles what was appended.
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
	// A message that was on its way when a server went comes again after AckWait.
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

// goesOn waits until more is appended and more is handled than now.
func (w *work) goesOn() {
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
	w.t.Errorf("it does not go on: %d appended, then %d; %d handled, then %d", acked, a, seen, s)
}

func (w *work) stop() map[events.ID]events.Position {
	w.cancel()
	w.wg.Wait()
	return w.acked
}

// awayFor is how long servers are away: a minute in the long form.
func awayFor() time.Duration {
	if os.Getenv("CORTEX_CRASH") == "long" {
		return time.Minute
	}
	return time.Second
}

func TestWhoWaitsForAClusterIsToldAndCanLeave(t *testing.T) {
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
		t.Errorf("health says %+v", h)
	}
	if _, err := natslog.Open(t.Context(), natslog.Config{Dir: t.TempDir(), Create: true, Cluster: c.Config()}); events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("open: %v, want unavailable", err)
	}
	c.StartAll()
	r, err := b.Log().Append(t.Context(), e, events.NoExpectation)
	for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
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

func TestACreationThatWasCutOffGoesOn(t *testing.T) {
	c := natstest.New(t, 1)
	dir := t.TempDir()
	b := on(t, c, dir)
	host := b.Host()
	closeBroker(t, b)
	m := string(read(t, manifestFile(dir)))
	unborn := strings.Replace(m, `"host"`, `"creating": true, "host"`, 1)
	write(t, manifestFile(dir), []byte(unborn))
	b = on(t, c, dir)
	if b.Host() != host || len(logtest.VerifyAll(t, b.Log())) != 1 {
		t.Errorf("host %s, was %s", b.Host(), host)
	}
	fill(t, b.Log(), 1)
	closeBroker(t, b)
	write(t, manifestFile(dir), []byte(unborn))
	turnedAway(t, natslog.Config{Dir: dir, Create: true, Cluster: c.Config()}, events.ErrCorrupt, "never made")
}

// turnedAway makes sure that a log is not opened, and why.
func turnedAway(t *testing.T, cfg natslog.Config, kind events.ErrorKind, says string) {
	t.Helper()
	b, err := natslog.Open(t.Context(), cfg)
	if err == nil {
		closeBroker(t, b)
	}
	if events.KindOf(err) != kind || !strings.Contains(fmt.Sprint(err), says) {
		t.Errorf("%v, want %s that says %q", err, kind, says)
	}
}

// TestWhatOthersDoToAClustersLogIsFound changes the streams as somebody may who
// administers the cluster.
func TestWhatOthersDoToAClustersLogIsFound(t *testing.T) {
	facts := func(b *natslog.Broker) string { return natslog.FactsStream + "_" + string(b.Host()) }
	for name, tt := range map[string]struct {
		do   func(ctx context.Context, js jetstream.JetStream, stream string) error
		says string
	}{
		"the stream removed": {func(ctx context.Context, js jetstream.JetStream, s string) error {
			return js.DeleteStream(ctx, s)
		}, "cannot open"},
		"the stream made anew": {func(ctx context.Context, js jetstream.JetStream, s string) error {
			return again(ctx, js, s)
		}, "the manifest knows"},
		"old events dropped": {func(ctx context.Context, js jetstream.JetStream, s string) error {
			return change(ctx, js, s, func(c *jetstream.StreamConfig) { c.MaxMsgs = 3 })
		}, "configuration was changed"},
		"old events dropped, and back": {func(ctx context.Context, js jetstream.JetStream, s string) error {
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
			turnedAway(t, natslog.Config{Dir: dir, Cluster: c.Config()}, events.ErrCorrupt, tt.says)
		})
	}
	t.Run("its key lost", func(t *testing.T) {
		c := natstest.New(t, 1)
		dir := t.TempDir()
		closeBroker(t, on(t, c, dir))
		check(t, os.Remove(filepath.Join(dir, "cluster.key")))
		turnedAway(t, natslog.Config{Dir: dir, Cluster: c.Config()}, events.ErrCorrupt, "key")
	})
	t.Run("settings that mean another place", func(t *testing.T) {
		c := natstest.New(t, 1)
		there, here := t.TempDir(), t.TempDir()
		closeBroker(t, on(t, c, there))
		closeBroker(t, open(t, natslog.Config{Dir: here, Create: true}))
		turnedAway(t, natslog.Config{Dir: there, Create: true}, events.ErrUsage, "kept by a cluster")
		turnedAway(t, natslog.Config{Dir: here, Create: true, Cluster: c.Config()}, events.ErrUsage, "files of its own")
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

// TestNobodyElseWritesAFactOrARequest publishes, with every right in the cluster, what
// this machine would act on: an approval, with a chain that fits.
func TestNobodyElseWritesAFactOrARequest(t *testing.T) {
	c := natstest.New(t, 1)
	t.Run("a request", func(t *testing.T) {
		b := on(t, c, t.TempDir())
		got, _ := subscribe(t, b, events.RequestFilter(b.Host()))
		forged := request(t, b)
		check(t, natslog.Forge(t.Context(), c.Connect(), events.Record{Event: forged}, events.RequestSubject(forged)))
		mine := submit(t, b)
		if m := next(t, got); m.UUID != string(mine.ID) {
			t.Errorf("the forged request is acted on: %v", m.Metadata)
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
			t.Errorf("the forged approval is acted on: %v", m.Metadata)
		case <-time.After(300 * time.Millisecond):
		}
		own := logtest.NewEvent(t, b.Host(), logtest.NewTransaction(), &events.Cancelled{})
		if _, err := b.Log().Append(t.Context(), own, events.NoExpectation); events.KindOf(err) != events.ErrCorrupt {
			t.Errorf("append behind it: %v, want corrupt", err)
		}
		closeBroker(t, b)
		turnedAway(t, natslog.Config{Dir: dir, Cluster: c.Config()}, events.ErrCorrupt, "not written by this host")
	})
}

func TestACredentialsFileOfOthersIsRefused(t *testing.T) {
	c := natstest.New(t, 1)
	cfg := natslog.Config{Dir: t.TempDir(), Create: true, Cluster: c.Config()}
	check(t, os.Chmod(cfg.Cluster.Credentials, 0o640))
	turnedAway(t, cfg, events.ErrUsage, "others may read it")
	cfg.Cluster.Credentials = filepath.Join(t.TempDir(), "none")
	write(t, cfg.Cluster.Credentials, []byte("nothing"))
	check(t, os.Chmod(cfg.Cluster.Credentials, 0o600))
	turnedAway(t, cfg, events.ErrUsage, "no seed")
	cfg.Cluster.Credentials = ""
	turnedAway(t, cfg, events.ErrUnavailable, "")
	cfg.Cluster = c.Config()
	check(t, os.Chmod(cfg.Cluster.Credentials, 0o600))
	cfg.Cluster.CA = ""
	turnedAway(t, cfg, events.ErrUnavailable, "certificate")
}

// TestTheRightsInTheDocumentAreEnough works as a user with the rights that docs/nats.md
// lists, and makes sure that they are not enough to harm the log.
func TestTheRightsInTheDocumentAreEnough(t *testing.T) {
	c := natstest.New(t, 1)
	host := events.HostID(logtest.NewID())
	publish, subscribed := rights(t, host)
	c.Restrict(publish, subscribed)
	dir := t.TempDir()
	cfg := natslog.Config{Dir: dir, Host: host, Create: true, Cluster: c.Config()}
	cfg.Cluster.RetryTimeout = patience
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
		t.Errorf("told %+v", p)
	}
	cancel()
	before := len(logtest.VerifyAll(t, b.Log()))
	js, err := jetstream.New(c.Connect(), jetstream.WithDefaultTimeout(100*time.Millisecond))
	check(t, err)
	stream := natslog.FactsStream + "_" + string(host)
	if js.DeleteStream(t.Context(), stream) == nil || again(t.Context(), js, stream) == nil {
		t.Error("they are enough to remove the log")
	}
	closeBroker(t, b)
	cfg.Create = false
	if got := len(logtest.VerifyAll(t, open(t, cfg).Log())); got != before {
		t.Errorf("%d events, not %d", got, before)
	}
}

// rights reads what the document says that the daemon's user needs.
func rights(t *testing.T, host events.HostID) (publish, subscribe []string) {
	t.Helper()
	text := string(read(t, "../../docs/nats.md"))
	_, block, _ := strings.Cut(text, "```\npublish\n")
	block, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("docs/nats.md has no list of rights")
	}
	first, second, _ := strings.Cut(strings.ReplaceAll(block, "HOST", string(host)), "subscribe\n")
	return strings.Fields(first), strings.Fields(second)
}
