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

// subscription delivers the messages of a durable consumer to one channel.
type subscription struct {
	cfg    SubscriberConfig
	logger *slog.Logger
	key    string // stream/durable

	// waitForHead returns when readers of the log see the fact at a position; nil for
	// the requests stream.
	waitForHead func(context.Context, events.Position) error

	// verify refuses a message without a valid signature.
	verify func(headers events.Headers, data []byte) error

	// reopen starts a new pull after a cluster has ended one; nil with a server in this
	// process.
	reopen func() (jetstream.MessagesContext, error)

	engine *engine

	iter   jetstream.MessagesContext
	out    chan *message.Message
	ctx    context.Context // of every message; done when the subscription ends
	cancel context.CancelFunc
	done   chan struct{} // closed when the subscription has ended
}

// run delivers messages until the subscription ends.
func (s *subscription) run() {
	defer close(s.out)
	defer s.cancel()
	for s.receive() && s.resume() {
	}
}

// resume starts a new pull and retries until the cluster accepts it. It returns false when
// the subscription ends.
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

// receive delivers messages until the pull ends. It returns true when the subscription
// itself has not ended.
func (s *subscription) receive() bool {
	stop := context.AfterFunc(s.ctx, s.iter.Drain)
	defer stop()
	for {
		m, err := s.iter.Next()
		switch {
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			return s.ctx.Err() == nil && !errors.Is(err, jetstream.ErrConnectionClosed)
		case err != nil:
			s.logger.Error("cannot receive messages", "name", s.cfg.Durable, "error", err)
			s.iter.Stop()
			return s.ctx.Err() == nil
		case s.ctx.Err() != nil: // it arrived after the subscription ended
			s.logAckError("nak", m.Nak())
		default:
			s.handle(m)
		}
	}
}

// handle delivers m until it is acknowledged or the subscription ends.
func (s *subscription) handle(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil || eventIDOf(m) == "" {
		s.logger.Error("discarded a message that is not an event", "name", s.cfg.Durable, "subject", m.Subject(), "error", err)
		s.logAckError("term", m.TermWithReason("not an event"))
		return
	}
	if err := s.verify(flattenHeaders(m.Headers()), m.Data()); err != nil {
		s.logger.Error("discarded a message without a valid signature", "name", s.cfg.Durable, "subject", m.Subject(), "error", err)
		s.logAckError("term", m.TermWithReason("no valid signature"))
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

// acknowledge returns when the server has stored the acknowledgement of m. It retries
// while a cluster is unreachable, because no other message is delivered before.
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
	deliveryEnded // the subscription ended before the handler answered
)

// deliver delivers m once and waits for the handler's answer. Meanwhile it extends AckWait.
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
				return deliveryEnded // no handler has received it
			}
			t := time.NewTimer(s.cfg.CloseTimeout)
			defer t.Stop()
			closing, ending = t.C, nil
		case <-closing:
			return deliveryEnded
		}
	}
}

// backoff waits before a nacked message is delivered again. It returns false when the
// subscription ends.
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

// logAckError logs an answer that did not reach the server. The server delivers the message
// again, and every handler must expect that.
func (s *subscription) logAckError(what string, err error) {
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		s.logger.Warn("cannot answer a delivery", "answer", what, "name", s.cfg.Durable, "error", err)
	}
}

// eventIDOf returns the event's id, or "".
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
