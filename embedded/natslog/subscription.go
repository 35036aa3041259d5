package natslog

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// subscription moves messages from a durable consumer to one channel.
type subscription struct {
	cfg    SubscriberConfig
	logger *slog.Logger
	key    string // stream/durable

	// waitForHead returns once the log itself shows the fact at a position; nil for
	// streams that are not the log.
	waitForHead func(context.Context, events.Position) error

	// verify refuses a message that is not ours.
	verify func(headers events.Headers, data []byte) error

	// reopen begins to receive anew where a cluster has ended it; nil where that
	// cannot happen.
	reopen func() (jetstream.MessagesContext, error)

	engine *engine

	iter   jetstream.MessagesContext
	out    chan *message.Message
	ctx    context.Context // of every message; done when the subscription is to end
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
}

// run gives message after message until the subscription ends.
func (s *subscription) run() {
	defer close(s.out)
	defer s.cancel()
	for s.receive() && s.resume() {
	}
}

// resume receives anew, as soon as the cluster lets us; false when that is not to be.
func (s *subscription) resume() bool {
	for pause := 50 * time.Millisecond; s.reopen != nil; pause = min(2*pause, time.Second) {
		iter, err := s.reopen()
		if err == nil {
			s.iter = iter
			return true
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-s.ctx.Done():
			t.Stop()
			return false
		}
	}
	return false
}

// receive gives message after message until receiving ends; true when the
// subscription itself is not to end yet.
func (s *subscription) receive() bool {
	stop := context.AfterFunc(s.ctx, s.iter.Drain)
	defer stop()
	for {
		m, err := s.iter.Next()
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return s.ctx.Err() == nil && !errors.Is(err, jetstream.ErrConnectionClosed)
		case err != nil:
			s.logger.Error("subscription broken", "name", s.cfg.Durable, "error", err)
			s.iter.Stop()
			return s.ctx.Err() == nil
		case s.ctx.Err() != nil: // on its way to us when we ended
			s.logAckError("nak", m.Nak())
		default:
			s.handle(m)
		}
	}
}

// handle gives m until it is acknowledged or the subscription ends.
func (s *subscription) handle(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil || eventIDOf(m) == "" {
		s.logger.Error("not an event of ours; given up", "name", s.cfg.Durable, "subject", m.Subject(), "error", err)
		s.logAckError("term", m.TermWithReason("not an event"))
		return
	}
	if err := s.verify(flattenHeaders(m.Headers()), m.Data()); err != nil {
		s.logger.Error("not written by this host's daemon; given up", "name", s.cfg.Durable, "subject", m.Subject(), "error", err)
		s.logAckError("term", m.TermWithReason("not ours"))
		return
	}
	if s.waitForHead != nil {
		if err := s.waitForHead(s.ctx, events.Position(meta.Sequence.Stream)); err != nil {
			s.logAckError("nak", m.Nak())
			return
		}
	}
	pause := s.cfg.MaxNackPause / 100
	for delivered := meta.NumDelivered; ; delivered++ {
		switch s.deliver(m, meta, delivered) {
		case acked:
			s.logAckError("ack", s.acknowledge(m))
			return
		case deliveryEnded:
			s.logAckError("nak", m.Nak())
			return
		case nacked:
			if !s.backoff(m, pause) {
				s.logAckError("nak", m.Nak())
				return
			}
			pause = min(2*pause, s.cfg.MaxNackPause)
		}
	}
}

// acknowledge returns when the broker knows that m is done. While a cluster is away it
// is told again: until then nothing else would come.
func (s *subscription) acknowledge(m jetstream.Msg) error {
	first := true
	return s.engine.withRetry(s.ctx, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.engine.requestTimeout)
		defer cancel()
		if first {
			first = false
			return m.DoubleAck(ctx)
		}
		_, err := s.engine.conn.RequestWithContext(ctx, m.Reply(), []byte("+ACK"))
		return err
	})
}

type deliveryResult int

const (
	acked deliveryResult = iota
	nacked
	deliveryEnded // before there was an answer
)

// deliver delivers m once and waits for the answer, with heartbeats.
func (s *subscription) deliver(m jetstream.Msg, meta *jetstream.MsgMetadata, delivered uint64) deliveryResult {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	msg := toMessage(m, meta, delivered)
	msg.Metadata["cortex-stream"] = s.engine.localStreamName(meta.Stream)
	msg.SetContext(ctx)
	beat := time.NewTicker(s.cfg.AckWait / 3)
	defer beat.Stop()

	out, ending := s.out, s.ctx.Done()
	var closing <-chan time.Time
	for {
		select {
		case out <- msg:
			out = nil
		case <-msg.Acked():
			return acked
		case <-msg.Nacked():
			return nacked
		case <-beat.C:
			s.logAckError("heartbeat", m.InProgress())
		case <-ending:
			if out != nil {
				return deliveryEnded // nobody has it
			}
			t := time.NewTimer(s.cfg.CloseTimeout)
			defer t.Stop()
			closing, ending = t.C, nil
		case <-closing:
			return deliveryEnded
		}
	}
}

// backoff waits before a refused message is given again; false when the
// subscription ends meanwhile.
func (s *subscription) backoff(m jetstream.Msg, pause time.Duration) bool {
	s.logAckError("heartbeat", m.InProgress())
	t := time.NewTimer(min(pause, s.cfg.AckWait/3))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// logAckError logs an answer that the server did not take; the message will come
// again, which every handler must expect anyway.
func (s *subscription) logAckError(what string, err error) {
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		s.logger.Warn("answer to the broker failed", "answer", what, "name", s.cfg.Durable, "error", err)
	}
}

// eventIDOf is the event's id.
func eventIDOf(m jetstream.Msg) string {
	if id := m.Headers().Get("ce-id"); id != "" {
		return id
	}
	return m.Headers().Get(jetstream.MsgIDHeader)
}

func toMessage(m jetstream.Msg, meta *jetstream.MsgMetadata, delivered uint64) *message.Message {
	out := message.NewMessage(eventIDOf(m), m.Data())
	for name, value := range flattenHeaders(m.Headers()) {
		out.Metadata[name] = value
	}
	out.Metadata["cortex-position"] = strconv.FormatUint(meta.Sequence.Stream, 10)
	out.Metadata["cortex-delivered"] = strconv.FormatUint(delivered, 10)
	return out
}
