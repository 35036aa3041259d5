package natslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// getRequest is JetStream's request for stored messages without a consumer.
type getRequest struct {
	Seq      uint64 `json:"seq,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// errNoMessage means that no stored message matches the request.
var errNoMessage = errors.New("no such message")

// get returns one stored message, or errNoMessage.
func (e *engine) get(ctx context.Context, stream string, q getRequest) (msg *nats.Msg, err error) {
	ask := e.getDirect
	if e.cluster != nil {
		ask = e.getFromLeader
	}
	err = e.withRetry(ctx, func() error {
		msg, err = ask(ctx, stream, q)
		if err != nil && !errors.Is(err, errNoMessage) {
			err = &events.Error{Op: "natslog.get", Kind: events.ErrUnavailable, Subject: stream, Err: err}
		}
		return err
	})
	return msg, err
}

// getDirect asks any server that has the stream.
func (e *engine) getDirect(ctx context.Context, stream string, q getRequest) (*nats.Msg, error) {
	msg, err := e.requestReply(ctx, "$JS.API.DIRECT.GET."+e.streamName(stream), q)
	if err != nil {
		return nil, err
	}
	switch status := msg.Header.Get("Status"); status {
	case "":
		return msg, nil
	case "404":
		return nil, errNoMessage
	default:
		return nil, fmt.Errorf("%s %s", status, msg.Header.Get("Description"))
	}
}

// codeNoMessage is the JetStream error code when no message matches.
const codeNoMessage = 10037

// getFromLeader asks the stream's leader. Other servers of a cluster may not have every
// acknowledged message yet.
func (e *engine) getFromLeader(ctx context.Context, stream string, q getRequest) (*nats.Msg, error) {
	raw, err := e.requestReply(ctx, "$JS.API.STREAM.MSG.GET."+e.streamName(stream), q)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject string `json:"subject"`
			Seq     uint64 `json:"seq"`
			Headers []byte `json:"hdrs"`
			Data    []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(raw.Data, &answer); err != nil {
		return nil, err
	}
	switch m := answer.Message; {
	case answer.Error != nil && answer.Error.ErrorCode == codeNoMessage:
		return nil, errNoMessage
	case answer.Error != nil:
		return nil, answer.Error
	default:
		msg := &nats.Msg{Subject: m.Subject, Data: m.Data, Header: nats.Header{}}
		if len(m.Headers) > 0 {
			if msg.Header, err = nats.DecodeHeadersMsg(m.Headers); err != nil {
				return nil, err
			}
		}
		msg.Header.Set(jetstream.SequenceHeader, strconv.FormatUint(m.Seq, 10))
		msg.Header.Set(jetstream.SubjectHeader, m.Subject)
		return msg, nil
	}
}

// requestReply sends a request to the JetStream API and returns the answer.
func (e *engine) requestReply(ctx context.Context, subject string, q getRequest) (*nats.Msg, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.requestTimeout)
	defer cancel()
	return e.readConn.RequestWithContext(ctx, subject, body)
}
