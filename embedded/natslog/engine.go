package natslog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// engine is the running server or the cluster, and the connections to it. Reads have
// a connection of their own, because the server would delay an append until it has
// served a batch on the same connection.
type engine struct {
	srv            *server.Server // nil with a cluster
	cluster        *ClusterConfig // nil with a server in this process
	signer         *messageSigner // nil with a server in this process
	clientAuth     *clientAuth    // nil when the server does not listen
	requestTimeout time.Duration  // for one answer
	host           events.HostID
	retryQuit      chan struct{} // closed to end all retries
	quitOnce       sync.Once

	conn     *nats.Conn
	readConn *nats.Conn
	js       jetstream.JetStream

	facts, requests jetstream.Stream
}

// startEngine starts the server on the log directory and connects to it. It creates
// no streams.
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
			return nil, &events.Error{Op: "natslog.listen", Kind: events.ErrUnavailable, Subject: cfg.Listen, Err: err, Hint: "set nats.listen to a free HOST:PORT of this machine"}
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
		return nil, unavailable(errors.New("the NATS server did not start"))
	}
	if !srv.JetStreamEnabled() {
		e.stop()
		return nil, unavailable(errors.New("the NATS server could not open the log directory"))
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
	token := ""
	if e.clientAuth != nil {
		token = e.clientAuth.ownToken
	}
	for name, conn := range map[string]**nats.Conn{"cortex": &e.conn, "cortex-reads": &e.readConn} {
		*conn, err = nats.Connect("", nats.InProcessServer(e.srv), nats.Name(name), nats.NoReconnect(), nats.Token(token),
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

// stopRetrying ends all retries of operations on an unreachable cluster.
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

// serverLog passes the server's log messages to a slog.Logger.
type serverLog struct{ *slog.Logger }

func (l serverLog) Noticef(format string, v ...any) { l.Debug(fmt.Sprintf(format, v...)) }

func (l serverLog) Warnf(format string, v ...any) { l.Warn(fmt.Sprintf(format, v...)) }

func (l serverLog) Errorf(format string, v ...any) { l.Error(fmt.Sprintf(format, v...)) }

func (l serverLog) Fatalf(format string, v ...any) { l.Error(fmt.Sprintf(format, v...)) }

func (l serverLog) Debugf(format string, v ...any) { l.Debug(fmt.Sprintf(format, v...)) }

func (l serverLog) Tracef(format string, v ...any) { l.Debug(fmt.Sprintf(format, v...)) }
