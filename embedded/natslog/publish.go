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

// Submit stores a request for the intake and gives its place in the stream of
// requests. Submitting an id again gives the place it got the first time. It
// fails like [events.Log] does; after ErrUnavailable submit the same event again.
func (b *Broker) Submit(ctx context.Context, e events.Event) (events.Position, error) {
	const op = "natslog.Submit"
	if err := e.Validate(); err != nil {
		return 0, err
	}
	if _, err := events.DecodeRequest(e); err != nil {
		return 0, err
	}
	if e.Host != b.Host() {
		return 0, &events.Error{Op: op, Kind: events.ErrUsage, Subject: string(e.Kind), Err: fmt.Errorf("it is for host %s, this is %s", e.Host, b.Host())}
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

// ReadMessage reads one stored message again: a fact by its position, a request by
// its place in the stream of requests, which becomes the record's position.
func (b *Broker) ReadMessage(ctx context.Context, stream string, p events.Position) (events.Record, error) {
	notFound := func(err error) (events.Record, error) {
		return events.Record{}, &events.Error{Op: "natslog.Message", Kind: events.ErrNotFound, Subject: fmt.Sprintf("message %d of %s", p, stream), Err: err}
	}
	if p == 0 || stream != FactsStream && stream != RequestsStream {
		return notFound(errors.New("there is no such place"))
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

// Publisher stores requests that come as Watermill messages: the topic is the
// NATS subject, the UUID the id that it is stored once by, the metadata become
// headers. Topics of facts are refused; facts are appended to the log. Closing
// it leaves the broker open.
func (b *Broker) Publisher() message.Publisher {
	return &publisher{js: b.engine.js, signer: b.engine.signer, checkFreeSpace: func() error { return checkFreeSpace(b.cfg) }, waitDurable: b.requestSyncer.waitDurable, checkTopic: func(topic string) error {
		if strings.HasPrefix(topic, "cortex.req."+string(b.Host())+".") {
			return nil
		}
		return &events.Error{Op: "natslog.Publish", Kind: events.ErrInternal, Subject: topic, Err: errors.New("only requests to this host are published")}
	}}
}

type publisher struct {
	js             jetstream.JetStream
	signer         *messageSigner
	checkFreeSpace func() error
	waitDurable    func() error // makes durable what the server has acknowledged
	checkTopic     func(topic string) error
	closed         atomic.Bool
}

var _ message.Publisher = (*publisher)(nil)

// Publish implements [message.Publisher]: it returns when all are durable, or
// with the error of the first that is not; those before it are stored.
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
