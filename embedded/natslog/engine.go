package natslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// The names of the streams, on disk and on the wire.
const (
	FactsStream    = "CORTEX_EVT"
	RequestsStream = "CORTEX_REQ"
)

// engine is a running server, or a cluster elsewhere, and our connections to it.
// Reads have a connection of their own: a batch is served inline and would hold up
// an append.
type engine struct {
	srv            *server.Server // nil when a cluster keeps the log
	cluster        *ClusterConfig // nil when the server is ours
	signer         *messageSigner // nil when the server is ours
	clientAuth     *clientAuth    // nil when nobody else may connect to our server
	requestTimeout time.Duration  // for one answer
	host           events.HostID
	retryQuit      chan struct{} // closed when nobody waits for the cluster any more
	quitOnce       sync.Once

	conn     *nats.Conn
	readConn *nats.Conn
	js       jetstream.JetStream

	facts, requests jetstream.Stream
}

// startEngine starts the server on what lies in the log directory and connects.
// It makes no streams.
func startEngine(ctx context.Context, cfg Config, h events.HostID, maxBytes int64) (*engine, error) {
	unavailable := func(err error) error {
		return &events.Error{Op: "natslog.startEngine", Kind: events.ErrUnavailable, Subject: cfg.logDir(), Err: err}
	}
	opts := &server.Options{
		ServerName: "cortex", DontListen: true, NoSigs: true, MaxPayload: maxPayloadBytes, MaxConn: 64,
		JetStream: true, StoreDir: cfg.logDir(), DisableJetStreamBanner: true,
		JetStreamMaxStore: maxBytes + maxRequestBytes, JetStreamMaxMemory: 64 << 20,
		JetStreamLimits: server.JSLimitOpts{Duplicates: dedupWindow, DefaultMaxConsumers: 256},
	}
	e := &engine{requestTimeout: serverTimeout, host: h, retryQuit: make(chan struct{})}
	if cfg.Listen != "" {
		e.clientAuth = newClientAuth()
		if err := e.clientAuth.configureListener(opts, cfg.Listen); err != nil {
			return nil, &events.Error{Op: "natslog.listen", Kind: events.ErrUnavailable, Subject: cfg.Listen, Err: err, Hint: "nats.listen says where clients may listen"}
		}
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, unavailable(err)
	}
	e.srv = srv
	srv.SetLoggerV2(serverLog{cfg.Logger}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(serverTimeout) {
		e.stop()
		return nil, unavailable(errors.New("the server did not start"))
	}
	if !srv.JetStreamEnabled() {
		e.stop()
		return nil, unavailable(errors.New("the server could not open the log directory"))
	}
	if err := e.connect(cfg.Logger); err != nil {
		e.stop()
		return nil, unavailable(err)
	}
	if e.clientAuth != nil {
		e.clientAuth.enableClients(srv)
	}
	return e, ctx.Err()
}

func (e *engine) connect(logger *slog.Logger) error {
	var err error
	word := ""
	if e.clientAuth != nil {
		word = e.clientAuth.ownToken
	}
	for name, conn := range map[string]**nats.Conn{"cortex": &e.conn, "cortex-reads": &e.readConn} {
		*conn, err = nats.Connect("", nats.InProcessServer(e.srv), nats.Name(name), nats.NoReconnect(), nats.Token(word),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				logger.Warn("nats connection", "name", name, "error", err)
			}))
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
	}
	e.js, err = jetstream.New(e.conn, jetstream.WithDefaultTimeout(serverTimeout))
	return err
}

// stopRetrying ends the waiting for a cluster that is away.
func (e *engine) stopRetrying() { e.quitOnce.Do(func() { close(e.retryQuit) }) }

func (e *engine) stop() {
	e.stopRetrying()
	for _, conn := range []*nats.Conn{e.conn, e.readConn} {
		if conn != nil {
			conn.Close()
		}
	}
	if e.srv != nil {
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
	}
}

// streamFinder is the stream that holds a subject.
func (e *engine) streamOf(subject string) (jetstream.Stream, error) {
	switch {
	case strings.HasPrefix(subject, "cortex.evt."+string(e.host)+"."):
		return e.facts, nil
	case strings.HasPrefix(subject, "cortex.req."+string(e.host)+"."):
		return e.requests, nil
	}
	return nil, &events.Error{Op: "natslog.streamOf", Kind: events.ErrInternal, Subject: subject, Err: errors.New("no stream of this host holds it")}
}

// streamName is what a stream of ours is called: a cluster may keep the logs of many
// hosts.
func (e *engine) streamName(stream string) string {
	if e.cluster == nil {
		return stream
	}
	return stream + "_" + string(e.host)
}

// localStreamName is the inverse of [engine.streamName].
func (e *engine) localStreamName(name string) string {
	if e.cluster == nil {
		return name
	}
	return strings.TrimSuffix(name, "_"+string(e.host))
}

// streamConfigs is what the streams of a host are made as, and must still be.
func (e *engine) streamConfigs(maxBytes int64) []jetstream.StreamConfig {
	common := jetstream.StreamConfig{
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
		Replicas: e.replicas(), MaxConsumers: -1, MaxMsgs: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
		Duplicates: dedupWindow, AllowDirect: true,
	}
	facts, requests := common, common
	facts.Name, facts.Subjects = e.streamName(FactsStream), []string{"cortex.evt." + string(e.host) + ".>"}
	facts.MaxBytes, facts.DenyDelete, facts.DenyPurge = maxBytes, true, true
	requests.Name, requests.Subjects = e.streamName(RequestsStream), []string{"cortex.req." + string(e.host) + ".>"}
	requests.MaxBytes, requests.MaxAge = maxRequestBytes, maxRequestAge
	return []jetstream.StreamConfig{facts, requests}
}

// sameConfig compares what was configured, without what the server notes about
// itself and its versions. How many copies a cluster keeps, and where, is its
// administrator's affair.
func (e *engine) sameConfig(want, got jetstream.StreamConfig) bool {
	got.Metadata, want.Metadata = nil, nil
	if e.cluster != nil {
		want.Replicas, want.Placement = got.Replicas, got.Placement
	}
	return reflect.DeepEqual(want, got)
}

// createStreams makes both streams, where they are not yet, and gives the time of each.
func (e *engine) createStreams(ctx context.Context, maxBytes int64) (map[string]time.Time, error) {
	created := map[string]time.Time{}
	for _, cfg := range e.streamConfigs(maxBytes) {
		var s jetstream.Stream
		err := e.withRetry(ctx, func() (err error) {
			s, err = e.js.CreateStream(ctx, cfg)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("create stream %s: %w", cfg.Name, err)
		}
		created[e.localStreamName(cfg.Name)] = s.CachedInfo().Created
		e.setStream(s, cfg.Name)
	}
	return created, nil
}

func (e *engine) setStream(s jetstream.Stream, name string) {
	if e.localStreamName(name) == FactsStream {
		e.facts = s
	} else {
		e.requests = s
	}
}

// serverLog hands the server's words to our logger.
type serverLog struct{ *slog.Logger }

func (l serverLog) Noticef(format string, v ...any) { l.Debug(fmt.Sprintf(format, v...)) }
func (l serverLog) Warnf(format string, v ...any)   { l.Warn(fmt.Sprintf(format, v...)) }
func (l serverLog) Errorf(format string, v ...any)  { l.Error(fmt.Sprintf(format, v...)) }
func (l serverLog) Fatalf(format string, v ...any)  { l.Error(fmt.Sprintf(format, v...)) }
func (l serverLog) Debugf(format string, v ...any)  { l.Debug(fmt.Sprintf(format, v...)) }
func (l serverLog) Tracef(format string, v ...any)  { l.Debug(fmt.Sprintf(format, v...)) }
