package natslog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// Submit stores a request and returns its position in the requests stream. A repeated
// event id returns the first position. The errors are those of [events.Log]; after
// ErrUnavailable the caller submits the same event again.
func (b *Broker) Submit(ctx context.Context, e events.Event) (events.Position, error) {
	const op = "natslog.Submit"
	if err := e.Validate(); err != nil {
		return 0, err
	}
	if _, err := events.DecodeRequest(e); err != nil {
		return 0, err
	}
	if e.Host != b.Host() {
		return 0, &events.Error{Op: op, Kind: events.ErrUsage, Subject: string(e.Kind), Err: fmt.Errorf("the request is for host %s, this is host %s", e.Host, b.Host())}
	}
	if err := checkFreeSpace(b.cfg); err != nil {
		return 0, err
	}
	msg, err := newMessage(events.Record{Event: e}, events.RequestSubject(e), b.engine.signer)
	if err != nil {
		return 0, err
	}
	var ack *jetstream.PubAck
	err = b.engine.withRetry(ctx, func() (err error) {
		ack, err = b.engine.js.PublishMsg(ctx, msg)
		return err
	})
	if err == nil {
		err = b.requestSyncer.waitDurable()
	}
	if err != nil {
		return 0, writeError(op, e.Subject, err)
	}
	return events.Position(ack.Sequence), nil
}

// ReadMessage returns one stored message of a stream. The record of a request has its
// position in the requests stream as Position.
func (b *Broker) ReadMessage(ctx context.Context, stream string, p events.Position) (events.Record, error) {
	notFound := func(err error) (events.Record, error) {
		return events.Record{}, &events.Error{Op: "natslog.ReadMessage", Kind: events.ErrNotFound, Subject: fmt.Sprintf("message %d of %s", p, stream), Err: err}
	}
	if p == 0 || stream != FactsStream && stream != RequestsStream {
		return notFound(errors.New("no such stream or position"))
	}
	msg, err := b.engine.get(ctx, stream, getRequest{Seq: uint64(p)})
	switch {
	case errors.Is(err, errNoMessage):
		return notFound(nil)
	case err != nil:
		return events.Record{}, err
	case stream == FactsStream:
		return b.log.decode(msg)
	}
	r, err := b.engine.decodeRequest(flattenHeaders(msg.Header), msg.Data)
	r.Position = p
	return r, err
}

// Publisher returns a publisher that stores Watermill messages as requests. The topic
// becomes the NATS subject, the UUID the event id, and the metadata the headers. It
// refuses topics of facts, because facts are appended to the log. Closing the publisher
// does not close the broker.
func (b *Broker) Publisher() message.Publisher {
	return &publisher{js: b.engine.js, signer: b.engine.signer, checkFreeSpace: func() error { return checkFreeSpace(b.cfg) }, waitDurable: b.requestSyncer.waitDurable, checkTopic: func(topic string) error {
		if strings.HasPrefix(topic, "cortex.req."+string(b.Host())+".") {
			return nil
		}
		return &events.Error{Op: "natslog.Publish", Kind: events.ErrInternal, Subject: topic, Err: errors.New("only requests for this host can be published")}
	}}
}

type publisher struct {
	js             jetstream.JetStream
	signer         *messageSigner
	checkFreeSpace func() error
	waitDurable    func() error // see syncer
	checkTopic     func(topic string) error
	closed         atomic.Bool
}

var _ message.Publisher = (*publisher)(nil)

// Publish implements [message.Publisher]. It returns when all messages are durable. After
// an error, the messages before the failed one are stored.
func (p *publisher) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
		return errClosed
	}
	if err := errors.Join(p.checkTopic(topic), p.checkFreeSpace()); err != nil {
		return err
	}
	for _, m := range messages {
		msg := &nats.Msg{Subject: topic, Data: m.Payload, Header: nats.Header{}}
		for name, value := range m.Metadata {
			msg.Header[name] = []string{value}
		}
		msg.Header.Set(jetstream.MsgIDHeader, m.UUID)
		if p.signer != nil {
			r, err := events.DecodeHeaders(events.Headers(m.Metadata), m.Payload)
			if err != nil {
				return err
			}
			msg.Header.Set(signatureHeader, p.signer.sign(events.Record{Event: r.Event}))
		}
		_, err := p.js.PublishMsg(m.Context(), msg)
		if err == nil {
			err = p.waitDurable()
		}
		if err != nil {
			return writeError("natslog.Publish", stringer(topic), err)
		}
	}
	return nil
}

// Close implements [message.Publisher].
func (p *publisher) Close() error {
	p.closed.Store(true)
	return nil
}

type stringer string

func (t stringer) String() string { return string(t) }
