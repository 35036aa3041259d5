package natslog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// DefaultRetryTimeout is how long one read or append outlasts a cluster that is away.
const DefaultRetryTimeout = 2 * time.Minute

// clusterTimeout is how long one question to a cluster waits for its answer. A server
// that went away does not say so, and asking again does no harm.
const clusterTimeout = 2 * time.Second

// clusterPullExpiry is how long one asking for messages holds: a server that had it and went
// away is missed within this time.
const clusterPullExpiry = 5 * time.Second

// ClusterConfig is how to reach NATS servers of others, with JetStream, that keep the log
// instead of a server in our process. Several hosts may keep their logs in one.
type ClusterConfig struct {
	// URL is where servers listen, several by commas: nats://HOST:PORT or
	// tls://HOST:PORT. It holds no password.
	URL string
	// CA, Cert and Key are files in PEM: who may vouch for the servers, and who we
	// are to them. "" is the system's authorities, and no certificate.
	CA, Cert, Key string
	// Credentials is a file with a user's JWT and seed, or with a seed alone. It is
	// its owner's alone to read.
	Credentials string
	// Replicas is how many servers keep each stream when it is made; 0 is 3 where
	// there is a cluster, and 1 where there is one server.
	Replicas int
	// RetryTimeout is how long one read or append waits for servers that are away; 0 is
	// [DefaultRetryTimeout].
	RetryTimeout time.Duration
}

func (c *ClusterConfig) validate() error {
	switch {
	case c == nil:
		return nil
	case c.URL == "":
		return errors.New("broker: no address of a cluster")
	case (c.Cert == "") != (c.Key == ""):
		return errors.New("broker: a certificate and its key belong together")
	case c.Replicas < 0 || c.Replicas > 5:
		return errors.New("broker: 1 to 5 replicas")
	}
	return nil
}

// wrongLocationError is the refusal of a log that is not where the settings say.
func wrongLocationError(cfg Config, m manifest) error {
	err := &events.Error{
		Op: "natslog.Open", Kind: events.ErrUsage, Subject: cfg.Dir, Err: errors.New("its log is in files of its own, not in a cluster"),
		Hint: "unset nats.url, or name another state directory: a log is not moved",
	}
	if m.Cluster {
		err.Err, err.Hint = errors.New("its log is kept by a cluster"), "set nats.url to where it is"
	}
	return err
}

// openCluster opens the log that a cluster keeps, or makes it when there is no
// manifest of one and it may be made.
func openCluster(ctx context.Context, cfg Config, m *manifest) (*Broker, error) {
	if m == nil {
		m = &manifest{Format: manifestFormat, Creating: true, Cluster: true, Host: cfg.Host, MaxBytes: cfg.MaxBytes}
		if m.Host == "" {
			m.Host = events.HostID(cfg.NewID())
		}
		if err := writeManifest(cfg.Dir, *m, true); err != nil {
			return nil, &events.Error{Op: "natslog.openCluster", Kind: kindOf(err), Subject: cfg.Dir, Err: err}
		}
	}
	e, err := dialCluster(cfg, m.Host)
	if err != nil {
		return nil, err
	}
	b, err := openClusterLog(ctx, cfg, e, *m)
	if err != nil {
		e.stop()
		return nil, err
	}
	return b, nil
}

// openClusterLog checks what the cluster has, and makes what was never made.
func openClusterLog(ctx context.Context, cfg Config, e *engine, m manifest) (*Broker, error) {
	s, err := loadSigner(cfg.Dir, m.Creating)
	if err != nil {
		return nil, err
	}
	e.signer = s
	born := !m.Creating
	if !born {
		if m.Streams, err = e.createStreams(ctx, m.MaxBytes); err != nil {
			return nil, &events.Error{Op: "natslog.openCluster", Kind: kindOf(err), Subject: cfg.Cluster.URL, Err: err}
		}
	}
	if err := checkStreams(ctx, e, m, events.Link{}); err != nil {
		return nil, err
	}
	last, err := e.lastPosition(ctx, m.Head.Position)
	if err != nil {
		return nil, err
	}
	b := newBroker(cfg, e, m, events.Link{})
	w, err := b.log.verifyNewest(ctx, m, last)
	if err == nil && last == 0 {
		err = b.appendFirstFact(ctx, m)
	} else if err == nil && !born {
		err = b.manifestWriter.markCreated()
	}
	if err != nil {
		b.cancel()
		b.wg.Wait()
		return nil, err
	}
	if w.first > 1 {
		b.wg.Go(func() { b.log.verifyOlderInCluster(b.ctx, w) })
	}
	return b, nil
}

// lastPosition is the position of the log's last event. A server that has just begun to lead
// may not know yet all that was acknowledged, so less than known is asked for again.
func (e *engine) lastPosition(ctx context.Context, known events.Position) (last events.Position, err error) {
	const tries = 20
	for range tries {
		err = e.withRetry(ctx, func() error {
			info, err := e.facts.Info(ctx)
			if err == nil {
				last = events.Position(info.State.LastSeq)
			}
			return err
		})
		if err != nil || last >= known {
			break
		}
		select {
		case <-time.After(e.cluster.RetryTimeout / (10 * tries)):
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
	return last, err
}

// verifyNewest checks the newest events of a cluster's log, up to last, before it is used.
func (l *factLog) verifyNewest(ctx context.Context, m manifest, last events.Position) (verifiedRange, error) {
	if m.Creating && last > 1 {
		return verifiedRange{}, corruptError(l.engine.streamName(FactsStream), errors.New("the log was never made, but there are events in it"))
	}
	if last == 0 && m.Creating {
		return verifiedRange{first: 1}, nil
	}
	from := events.Position(1)
	if first := l.cfg.verifyNewest; uint64(last) > first {
		from = max(min(m.Head.Position, last-events.Position(first)), 1) //nolint:gosec // below last
	}
	c := chainVerifier{host: l.host, manifest: m.Head, manifestHeadSeen: m.Creating}
	for r, err := range l.scan(ctx, events.Query{After: from - 1}, last) {
		if err == nil {
			err = c.verifyEvent(r)
		}
		if err != nil {
			return verifiedRange{}, err
		}
	}
	if err := c.verifyReachesManifest(); err != nil {
		return verifiedRange{}, err
	}
	l.mu.Lock()
	l.tip, l.head = c.prev, c.prev
	l.mu.Unlock()
	l.manifestWriter.recordHead(c.prev)
	return verifiedRange{first: c.first, beforeFirst: c.beforeFirst, last: c.prev}, nil
}

// verifyOlderInCluster checks what lies before the window, while the log is in use. When it
// finds a fault the log becomes read-only.
func (l *factLog) verifyOlderInCluster(ctx context.Context, w verifiedRange) {
	c := chainVerifier{host: l.host}
	for r, err := range l.scan(ctx, events.Query{}, events.Position(w.first-1)) {
		if err == nil {
			err = c.verifyEvent(r)
		}
		switch {
		case err == nil:
		case events.KindOf(err) == events.ErrCorrupt:
			l.markReadOnly(err)
			return
		default: // it went away, or we leave: the next start looks again
			l.cfg.Logger.Warn("older events were not checked", "error", err)
			return
		}
	}
	if uint64(c.prev.Position)+1 != w.first || c.prev.Hash != w.beforeFirst {
		l.markReadOnly(corruptError(FactsStream, fmt.Errorf("event %d does not follow event %d", w.first, c.prev.Position)))
	}
}

// dialCluster connects to the cluster, once; from then on the connection comes back by itself.
func dialCluster(cfg Config, h events.HostID) (*engine, error) {
	c := *cfg.Cluster
	if c.RetryTimeout == 0 {
		c.RetryTimeout = DefaultRetryTimeout
	}
	e := &engine{cluster: &c, requestTimeout: clusterTimeout, host: h, retryQuit: make(chan struct{})}
	opts, err := c.connectOptions()
	if err != nil {
		return nil, err
	}
	for name, conn := range map[string]**nats.Conn{"cortex": &e.conn, "cortex-reads": &e.readConn} {
		*conn, err = nats.Connect(c.URL, append(opts, nats.Name(name+" "+string(h)),
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				cfg.Logger.Warn("the cluster is away", "name", name, "error", err)
			}),
			nats.ReconnectHandler(func(*nats.Conn) { cfg.Logger.Info("the cluster is back", "name", name) }),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				cfg.Logger.Warn("nats connection", "name", name, "error", err)
			}))...)
		if err != nil {
			e.stop()
			return nil, &events.Error{Op: "natslog.dial", Kind: events.ErrUnavailable, Subject: c.URL, Err: err, Hint: "is the cluster up, and do nats.url, nats.ca and nats.credentials fit it?"}
		}
	}
	if e.js, err = jetstream.New(e.conn, jetstream.WithDefaultTimeout(clusterTimeout)); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

// connectOptions are those of both connections. What is published while the cluster is away
// fails at once, and is tried again by who knows what it is.
func (c *ClusterConfig) connectOptions() ([]nats.Option, error) {
	opts := []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectBufSize(-1),
		nats.Timeout(serverTimeout), nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2),
	}
	if c.CA != "" {
		opts = append(opts, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		opts = append(opts, nats.ClientCert(c.Cert, c.Key))
	}
	if c.Credentials == "" {
		return opts, nil
	}
	fail := func(err error) ([]nats.Option, error) {
		return nil, &events.Error{Op: "natslog.dial", Kind: events.ErrUsage, Subject: c.Credentials, Err: err, Hint: "nats.credentials names a file of the daemon's user, mode 0600, with a user's JWT and seed, or a seed"}
	}
	info, err := os.Stat(c.Credentials)
	if err != nil {
		return fail(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fail(fmt.Errorf("others may read it: its mode is %#o", info.Mode().Perm()))
	}
	text, err := os.ReadFile(c.Credentials)
	if err != nil {
		return fail(err)
	}
	if strings.Contains(string(text), "NATS USER JWT") {
		return append(opts, nats.UserCredentials(c.Credentials)), nil
	}
	seed, err := nats.NkeyOptionFromSeed(c.Credentials)
	if err != nil {
		return fail(errors.New("no seed of a user is in it"))
	}
	return append(opts, seed), nil
}

// replicas is how many servers are to keep a stream.
func (e *engine) replicas() int {
	switch {
	case e.cluster == nil:
		return 1
	case e.cluster.Replicas > 0:
		return e.cluster.Replicas
	case e.conn.ConnectedClusterName() != "":
		return 3
	}
	return 1
}

// withRetry does what may fail because the cluster is away, again and again until it
// succeeds, fails for another reason, or patience ends. A server in our own process
// is not away: there it is done once.
func (e *engine) withRetry(ctx context.Context, do func() error) error {
	if e.cluster == nil {
		return do()
	}
	ctx, cancel := context.WithTimeout(ctx, e.cluster.RetryTimeout)
	defer cancel()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := do()
		if err == nil || !isTransient(err) {
			return err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		case <-e.retryQuit:
			t.Stop()
			return err
		}
	}
}

// isTransient reports whether trying again may help.
func isTransient(err error) bool {
	var api *jetstream.APIError
	switch {
	case kindOf(err) != events.ErrUnavailable, errors.Is(err, errClosed), errors.Is(err, errNoMessage):
		return false
	case errors.As(err, &api):
		return api.Code < 400 || api.Code >= 500 || api.Code == 409 // their own troubles; the same is on its way already
	}
	return true
}
