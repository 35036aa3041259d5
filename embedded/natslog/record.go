package natslog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// encodeFact returns a record as a message. It fails when the message would not decode to
// the same record.
func encodeFact(r events.Record, s *messageSigner) (*nats.Msg, error) {
	msg, err := newMessage(r, events.FactSubject(r.Event), s)
	if err != nil {
		return nil, err
	}
	msg.Header.Set(jetstream.ExpectedLastSeqHeader, fmt.Sprint(uint64(r.Position)-1))
	back, err := events.DecodeHeaders(flattenHeaders(msg.Header), r.Data)
	if err != nil {
		return nil, err
	}
	if back.Hash != events.ChainHash(back.Prev, back.Position, back.Event) {
		return nil, unencodableError(r)
	}
	return msg, nil
}

// newMessage returns a record as a message with headers and data. The server stores only
// one message with the event's id.
func newMessage(r events.Record, subject string, s *messageSigner) (*nats.Msg, error) {
	headers, err := events.EncodeHeaders(r)
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: subject, Data: r.Data, Header: make(nats.Header, len(headers)+2)}
	for name, value := range headers {
		if value != strings.TrimSpace(value) || strings.ContainsAny(value, "\r\n") {
			return nil, unencodableError(r) // NATS would change the value
		}
		msg.Header[name] = []string{value}
	}
	msg.Header.Set(jetstream.MsgIDHeader, string(r.ID))
	if s != nil {
		msg.Header.Set(signatureHeader, s.sign(r))
	}
	return msg, nil
}

func unencodableError(r events.Record) error {
	return &events.Error{Op: "natslog.encode", Kind: events.ErrInternal, Subject: string(r.Kind), Err: errors.New("a value of its envelope cannot be stored in a NATS header")}
}

// flattenHeaders returns the first value of every header.
func flattenHeaders(h nats.Header) events.Headers {
	out := make(events.Headers, len(h))
	for name, values := range h {
		if len(values) > 0 {
			out[name] = values[0]
		}
	}
	return out
}

// decodeRecord decodes a stored fact. It checks its host, position, subject and hash, but
// not its link to the fact before it.
func decodeRecord(h events.HostID, seq uint64, subject string, headers events.Headers, data []byte) (events.Record, error) {
	fail := func(err error) (events.Record, error) {
		return events.Record{}, &events.Error{Op: "natslog.decodeRecord", Kind: events.ErrCorrupt, Subject: fmt.Sprintf("event %d", seq), Err: err}
	}
	r, err := events.DecodeHeaders(headers, data)
	switch {
	case err != nil:
		return fail(err)
	case uint64(r.Position) != seq:
		return fail(fmt.Errorf("its envelope has position %d", r.Position))
	case r.Host != h:
		return fail(fmt.Errorf("it belongs to host %s", r.Host))
	case events.FactSubject(r.Event) != subject:
		return fail(fmt.Errorf("it is stored with the wrong subject %s", subject))
	case events.ChainHash(r.Prev, r.Position, r.Event) != r.Hash:
		return fail(errors.New("its content does not match its hash"))
	}
	return r, nil
}

// checkFollows checks that r, which decodeRecord returned, directly follows prev.
func checkFollows(r events.Record, prev events.Link) error {
	var err error
	switch {
	case r.Position != prev.Position+1:
		err = fmt.Errorf("follows event %d: the log has a hole", prev.Position)
	case r.Prev != prev.Hash:
		err = fmt.Errorf("does not follow event %d as it is stored", prev.Position)
	default:
		return nil
	}
	return &events.Error{Op: "natslog.checkFollows", Kind: events.ErrCorrupt, Subject: fmt.Sprintf("event %d", r.Position), Err: err}
}
