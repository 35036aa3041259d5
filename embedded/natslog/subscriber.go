package natslog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// pullAhead is how many messages a pull requests beyond MaxAckPending, which limits how
// many are delivered. With 0 the client would stall: it sends no new pull while the last
// one is being sent, and by then the message may be acknowledged already.
const pullAhead = 64

// SubscriberConfig tunes one durable subscription.
type SubscriberConfig struct {
	// Durable is the name of the subscription. The server stores under it which
	// messages were acknowledged. Letters, digits, - and _ only.
	Durable string
	// AckWait is when the server delivers an unacknowledged message again. While a
	// message is handled, the subscription extends it every third of this time.
	AckWait time.Duration
	// MaxAckPending is how many messages may be unacknowledged in all subscribers of
	// the name together. 1, the default, keeps the order strictly, also across
	// restarts and with several subscribers.
	MaxAckPending int
	// MaxNackPause is the longest pause before a nacked message is delivered again.
	// The pauses start at a hundredth of it and double.
	MaxNackPause time.Duration
	// CloseTimeout is how long Close waits for the message being handled. Its context
	// is cancelled before.
	CloseTimeout time.Duration
}

func (c *SubscriberConfig) setDefaults() {
	if c.AckWait == 0 {
		c.AckWait = 30 * time.Second
	}
	if c.MaxAckPending == 0 {
		c.MaxAckPending = 1
	}
	if c.MaxNackPause == 0 {
		c.MaxNackPause = time.Second
	}
	if c.CloseTimeout == 0 {
		c.CloseTimeout = 5 * time.Second
	}
}

func (c *SubscriberConfig) validate() error {
	if c.Durable == "" || strings.ContainsAny(c.Durable, ".*> \t\r\n/\\") {
		return &events.Error{Op: "natslog.Subscribe", Kind: events.ErrInternal, Subject: c.Durable, Err: errors.New("invalid name of a subscription")}
	}
	return nil
}

// Subscriber returns a subscriber that delivers messages at least once and in order. It
// delivers the next message when the one before was acknowledged, and a nacked message
// before any other. A subscription resumes where its name stopped, also after a crash.
// The topic is a NATS filter (see events.RequestFilter, events.KindFilter).
//
// The UUID of a message is the event's id. Its metadata are the event's headers and:
//
//	cortex-stream     the stream of the message
//	cortex-position   its position in that stream
//	cortex-delivered  the number of this delivery, from 1
//
// A message that is not an event of this host is logged and discarded, because no handler
// can process it.
func (b *Broker) Subscriber(cfg SubscriberConfig) message.Subscriber {
	return b.subscriber(cfg, func(_ context.Context, topic string) (jetstream.Stream, error) {
		return b.engine.streamOf(topic)
	})
}

type streamFinder func(ctx context.Context, topic string) (jetstream.Stream, error)

func (b *Broker) subscriber(cfg SubscriberConfig, streams streamFinder) *subscriber {
	cfg.setDefaults()
	s := &subscriber{broker: b, cfg: cfg, findStream: streams, subs: map[*subscription]struct{}{}}
	return s
}

// subscriber is a [message.Subscriber]. Each call of Subscribe starts a subscription.
type subscriber struct {
	broker     *Broker
	cfg        SubscriberConfig
	findStream streamFinder

	mu     sync.Mutex
	closed bool
	subs   map[*subscription]struct{}
}

var (
	_ message.Subscriber           = (*subscriber)(nil)
	_ message.SubscribeInitializer = (*subscriber)(nil)
)

// Subscribe implements [message.Subscriber]. The channel is closed when ctx is done or
// the subscriber is closed.
func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := s.cfg.validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.broker.ctx.Err() != nil {
		return nil, errClosed
	}
	cons, stream, err := s.consumer(ctx, topic)
	if err != nil {
		return nil, err
	}
	pull := func() (jetstream.MessagesContext, error) {
		opts := []jetstream.PullMessagesOpt{jetstream.PullMaxMessages(pullAhead + s.cfg.MaxAckPending), jetstream.WithMessagesErrOnMissingHeartbeat(false)}
		if s.broker.engine.cluster != nil {
			opts = append(opts, jetstream.PullExpiry(clusterPullExpiry))
		}
		return cons.Messages(opts...)
	}
	iter, err := pull()
	if err != nil {
		return nil, fmt.Errorf("subscribe %s: %w", s.cfg.Durable, err)
	}
	sub := &subscription{
		cfg: s.cfg, logger: s.broker.cfg.Logger, key: stream + "/" + s.cfg.Durable,
		iter: iter, verify: s.broker.engine.verifierFor(stream), engine: s.broker.engine, out: make(chan *message.Message), done: make(chan struct{}),
	}
	if stream == FactsStream {
		sub.waitForHead = s.broker.log.waitForHead
	}
	if s.broker.engine.cluster != nil {
		sub.reopen = pull
	}
	sub.ctx, sub.cancel = context.WithCancel(ctx)
	s.subs[sub] = struct{}{}
	s.broker.track(sub)
	go func() {
		sub.run()
		s.remove(sub)
	}()
	return sub.out, nil
}

// SubscribeInitialize implements [message.SubscribeInitializer]. It creates the durable
// consumer.
func (s *subscriber) SubscribeInitialize(topic string) error {
	if err := s.cfg.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, err := s.consumer(s.broker.ctx, topic)
	return err
}

// consumer returns the durable consumer of the name and creates it if necessary. A
// previous process or subscription may have left messages unacknowledged. The server would
// deliver them after AckWait and out of order. Therefore the first subscriber of a name
// resets the consumer to the oldest of them.
func (s *subscriber) consumer(ctx context.Context, topic string) (jetstream.Consumer, string, error) {
	stream, err := s.findStream(ctx, topic)
	if err != nil {
		return nil, "", err
	}
	fail := func(err error) (jetstream.Consumer, string, error) {
		return nil, "", &events.Error{Op: "natslog.Subscribe", Kind: events.ErrUnavailable, Subject: s.cfg.Durable, Err: err}
	}
	name := s.broker.engine.localStreamName(stream.CachedInfo().Config.Name)
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	var cons jetstream.Consumer
	err = s.broker.engine.withRetry(ctx, func() (err error) {
		cons, err = stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: s.cfg.Durable, FilterSubject: topic, AckPolicy: jetstream.AckExplicitPolicy,
			AckWait: s.cfg.AckWait, MaxAckPending: s.cfg.MaxAckPending, DeliverPolicy: jetstream.DeliverAllPolicy,
		})
		return err
	})
	if err != nil {
		return fail(err)
	}
	if cons.CachedInfo().NumAckPending > 0 && !s.broker.isActive(name+"/"+s.cfg.Durable) {
		if _, err := stream.ResetConsumer(ctx, s.cfg.Durable); err != nil {
			return fail(fmt.Errorf("reset the consumer to the oldest unacknowledged message: %w", err))
		}
	}
	return cons, name, nil
}

func (s *subscriber) remove(sub *subscription) {
	s.broker.untrack(sub)
	s.mu.Lock()
	delete(s.subs, sub)
	s.mu.Unlock()
	close(sub.done)
}

// Close implements [message.Subscriber]. It ends every subscription and waits for them.
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	open := slices.Collect(maps.Keys(s.subs))
	s.mu.Unlock()
	cancelAll(open)
	return nil
}
