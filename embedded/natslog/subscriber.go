package natslog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// pullAhead is how many messages are asked for beyond those that may come: what
// comes is limited by MaxAckPending alone. Asking one by one would stall, for the
// client does not ask while its last request is still being sent, and a message
// can be there, handled and acknowledged before that.
const pullAhead = 64

// SubscriberConfig tunes one durable subscription.
type SubscriberConfig struct {
	// Durable names the subscription; under this name the broker remembers what
	// was acknowledged. Letters, digits, - and _ only.
	Durable string
	// AckWait is how long a message may go without a sign of life. A message
	// being handled gives one every third of it by itself.
	AckWait time.Duration
	// MaxAckPending is how many messages may be unacknowledged over all
	// subscribers of the name. 1, the default, keeps the order strictly, also
	// across restarts and several subscribers.
	MaxAckPending int
	// MaxNackPause is the longest pause before a refused message is given again;
	// pauses double from a hundredth of it.
	MaxNackPause time.Duration
	// CloseTimeout is how long Close waits for the message being handled, whose
	// context it has ended.
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
		return &events.Error{Op: "natslog.Subscribe", Kind: events.ErrInternal, Subject: c.Durable, Err: errors.New("not a name for a subscription")}
	}
	return nil
}

// Subscriber gives messages at least once, in order, the next only when the one
// before was acknowledged; one that is refused comes again before any other. A
// subscription goes on where its name stopped, also after a crash. The topic is
// a NATS filter (see events.RequestFilter, events.KindFilter).
//
// The UUID of a message is the event's id. Its metadata hold the event's
// headers, and:
//
//	cortex-stream     the stream it came from
//	cortex-position   its place in that stream
//	cortex-delivered  how often it was delivered, from 1
//
// A message that is not an event of ours cannot be handled by anyone: it is
// logged and given up.
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

// subscriber is a [message.Subscriber]; each Subscribe makes a subscription.
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

// Subscribe implements [message.Subscriber]. The channel is closed when ctx is
// done or the subscriber is closed.
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

// SubscribeInitialize implements [message.SubscribeInitializer]: from now on the
// name's messages are remembered.
func (s *subscriber) SubscribeInitialize(topic string) error {
	if err := s.cfg.validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _, err := s.consumer(s.broker.ctx, topic)
	return err
}

// consumer makes or finds the durable consumer of the name. Messages that a
// process before us, or a subscription before this one, left unacknowledged
// would come only after their AckWait and then out of order; so the first
// subscriber of a name lets the consumer begin at the oldest of them.
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
			return fail(fmt.Errorf("begin at the oldest unacknowledged message: %w", err))
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

// Close implements [message.Subscriber]: it ends every subscription and waits.
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	var open []*subscription
	for sub := range s.subs {
		open = append(open, sub)
	}
	s.mu.Unlock()
	for _, sub := range open {
		sub.cancel()
	}
	for _, sub := range open {
		<-sub.done
	}
	return nil
}
