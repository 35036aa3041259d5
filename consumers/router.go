package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"cortex/consumers/recorder"
	"cortex/events"
)

// Names of the metadata that a subscriber adds to the envelope.
const (
	MetadataPosition  = "cortex-position"  // in the stream of the message
	MetadataStream    = "cortex-stream"    // name of that stream
	MetadataDelivered = "cortex-delivered" // number of deliveries so far
)

// Handler is one durable subscription. Its name is stored in the broker and must not
// change.
type Handler struct {
	Name   string // durable name
	Filter string // NATS filter of the messages that it receives
	Handle HandleFunc
}

// Subscribe opens the durable subscription of a handler.
type Subscribe func(name, filter string) (message.Subscriber, error)

// FetchMessage reads one stored message again.
type FetchMessage func(ctx context.Context, stream string, p events.Position) (events.Record, error)

// Config tunes a router. The zero value has the defaults.
type Config struct {
	InitialBackoff time.Duration // before the first retry; doubles each time; 0 is 100 ms
	Logger         *slog.Logger
}

func (c *Config) setDefaults() {
	if c.InitialBackoff == 0 {
		c.InitialBackoff = 100 * time.Millisecond
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Router delivers messages to handlers.
type Router struct {
	handlers  []Handler
	subscribe Subscribe
	fetch     FetchMessage
	recorder  *recorder.Recorder
	cfg       Config
	ready     chan struct{}
}

// NewRouter returns a router. Handlers are added with [Router.Add] before
// [Router.Run].
func NewRouter(s *recorder.Recorder, subscribe Subscribe, fetch FetchMessage, cfg Config) *Router {
	cfg.setDefaults()
	return &Router{recorder: s, subscribe: subscribe, fetch: fetch, cfg: cfg, ready: make(chan struct{})}
}

// Add registers handlers. It must not be called after Run.
func (r *Router) Add(h ...Handler) { r.handlers = append(r.handlers, h...) }

// Ready is closed once every handler receives messages.
func (r *Router) Ready() <-chan struct{} { return r.ready }

// Run delivers messages until ctx is done. Then it waits for the handlers that are
// still working and returns nil.
func (r *Router) Run(ctx context.Context) error {
	wm, err := message.NewRouter(message.RouterConfig{CloseTimeout: 0}, watermill.NewSlogLoggerWithLevelMapping(r.cfg.Logger, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug}))
	if err != nil {
		return fmt.Errorf("start router: %w", err)
	}
	for _, h := range r.handlers {
		sub, err := r.subscribe(h.Name, h.Filter)
		if err != nil {
			return fmt.Errorf("subscribe %s: %w", h.Name, err)
		}
		wh := wm.AddConsumerHandler(h.Name, h.Filter, sub, func(m *message.Message) error { return deliver(h, m) })
		retry := middleware.Retry{
			MaxRetries: events.MaxHandlerRetries, InitialInterval: r.cfg.InitialBackoff,
			Multiplier: 2, RandomizationFactor: 0.3, MaxInterval: 10 * time.Second,
			ShouldRetry: func(p middleware.RetryParams) bool { return !errors.Is(p.Err, context.Canceled) },
		}
		wh.AddMiddleware(r.deadLetter(h), retry.Middleware, middleware.Recoverer)
	}
	go func() {
		<-wm.Running()
		close(r.ready)
	}()
	if err := wm.Run(ctx); err != nil {
		return fmt.Errorf("router: %w", err)
	}
	return nil
}

// deliver decodes a message and calls the handler.
func deliver(h Handler, m *message.Message) error {
	rec, err := decodeRecord(m)
	if err != nil {
		return err
	}
	return h.Handle(m.Context(), rec)
}

// decodeRecord reads the envelope of a message.
func decodeRecord(m *message.Message) (events.Record, error) {
	r, err := events.DecodeHeaders(events.Headers(m.Metadata), m.Payload)
	if err != nil {
		return events.Record{}, err
	}
	if r.Position == 0 { // a request has no position in the log; use its stream's
		r.Position = position(m)
	}
	return r, nil
}

func position(m *message.Message) events.Position {
	n, err := strconv.ParseUint(m.Metadata.Get(MetadataPosition), 10, 64)
	if err != nil {
		return 0
	}
	return events.Position(n)
}

// deadLetter is the outermost middleware. A message that still fails after the retries
// becomes a fact and is acknowledged. If the fact cannot be appended, the message is
// delivered again.
func (r *Router) deadLetter(h Handler) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) {
			out, err := next(m)
			if err == nil || errors.Is(err, context.Canceled) {
				return out, err
			}
			r.cfg.Logger.Error("handler gave up", "handler", h.Name, "event", m.UUID, "error", err)
			return nil, r.appendDeadLetter(m, h, err)
		}
	}
}

func (r *Router) appendDeadLetter(m *message.Message, h Handler, why error) error {
	rec, err := decodeRecord(m)
	if err != nil { // without a readable envelope: record the rest
		rec = events.Record{}
	}
	fact := &events.DeadLettered{
		Handler: h.Name, Stream: m.Metadata.Get(MetadataStream), StreamPosition: position(m),
		EventID: events.ID(m.UUID), EventKind: rec.Kind, Failure: events.FailureOf(why), Attempts: events.MaxHandlerRetries + 1,
	}
	_, err = r.recorder.Append(m.Context(), recorder.CausedBy(rec), events.DeadLetterSubject(r.recorder.NewID()), fact, events.NoExpectation)
	return err
}

// Retry delivers a dead letter to its handler again, once.
func (r *Router) Retry(ctx context.Context, p *events.DeadLettered) error {
	for _, h := range r.handlers {
		if h.Name == p.Handler {
			rec, err := r.fetch(ctx, p.Stream, p.StreamPosition)
			if err != nil {
				return err
			}
			return h.Handle(ctx, rec)
		}
	}
	return &events.Error{Op: "consumers.Retry", Kind: events.ErrNotFound, Subject: p.Handler, Err: errors.New("this version of Cortex has no such handler")}
}
