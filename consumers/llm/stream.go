package llm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// StopReason is why a model ended its answer; "" when it has not.
type StopReason string

// The reasons. Any other is one that the protocol does not name.
const (
	StopComplete StopReason = "complete"
	StopLimit    StopReason = "limit"   // the answer reached its limit of tokens
	StopRefused  StopReason = "refused" // the model declined
)

// AnswerBuilder collects one answer while it is streamed, within its bounds. A protocol
// fills it in.
type AnswerBuilder struct {
	Model      string
	Usage      Usage
	UsageKnown bool
	Stop       StopReason

	text  strings.Builder
	delta func(string)
}

// NewAnswerBuilder returns an empty answer of a model. delta receives the text in parts; it
// may be nil.
func NewAnswerBuilder(model string, delta func(string)) *AnswerBuilder {
	return &AnswerBuilder{Model: model, delta: delta}
}

// Add appends text. It fails when the answer is longer than [MaxAnswerBytes].
func (a *AnswerBuilder) Add(s string) error {
	if a.text.Len()+len(s) > MaxAnswerBytes {
		return errOversized
	}
	a.text.WriteString(s)
	if a.delta != nil && s != "" {
		a.delta(s)
	}
	return nil
}

// SetStop sets the reason from a protocol's word for it. It knows the words of every
// protocol, because servers that imitate one mix them. Another word stays unchanged.
func (a *AnswerBuilder) SetStop(word string) {
	switch word {
	case "end_turn", "stop_sequence", "tool_use", "stop", "tool_calls":
		a.Stop = StopComplete
	case "max_tokens", "length":
		a.Stop = StopLimit
	case "refusal", "content_filter":
		a.Stop = StopRefused
	default:
		a.Stop = StopReason(word)
	}
}

// Len returns the length of the text so far, in bytes.
func (a *AnswerBuilder) Len() int { return a.text.Len() }

// Completion returns the answer after its stream ended without an error.
func (a *AnswerBuilder) Completion() Completion {
	return Completion{Text: a.text.String(), Model: a.Model, Usage: a.Usage, UsageKnown: a.UsageKnown}
}

// ServerError is an error that a server reports inside a stream.
type ServerError struct {
	Overloaded bool // the same call may succeed later
	Message    string
}

func (s *ServerError) Error() string { return s.Message }

// Stream posts body and calls handle with the data of each server-sent event, until
// handle reports that the answer is complete. handle fills in the answer. The error
// is a [CallError]; nil means that the answer is whole.
func (c *Client) Stream(ctx context.Context, path string, body any, answer *AnswerBuilder, handle func(data string) (stop bool, err error)) error {
	ctx, received, end := c.withIdleTimeout(ctx)
	defer end()
	resp, failed := c.send(ctx, http.MethodPost, path, body)
	if failed != nil {
		return failed
	}
	defer resp.Body.Close()
	if failed := c.classifyEnd(ctx, ReadServerEvents(resp.Body, received, handle), answer); failed != nil {
		failed.Usage = answer.Usage
		return failed
	}
	return nil
}

// classifyEnd returns the error of a stream that ended with err; nil when the answer
// is whole.
func (c *Client) classifyEnd(ctx context.Context, err error, answer *AnswerBuilder) *CallError {
	var reported *ServerError
	switch {
	case err == nil:
		return c.classifyStop(answer.Stop)
	case errors.As(err, &reported):
		class := BadRequest
		if reported.Overloaded {
			class = Unavailable
		}
		return c.newError(class, errors.New(errorMessage([]byte(reported.Message))))
	case ctx.Err() != nil:
		return c.classifyTransport(ctx, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return c.newError(Truncated, errTruncated)
	case isMalformed(err):
		return c.newError(Malformed, err)
	}
	return c.newError(Truncated, err)
}

func (c *Client) classifyStop(reason StopReason) *CallError {
	switch reason {
	case StopComplete:
		return nil
	case "":
		return c.newError(Truncated, errTruncated)
	case StopLimit:
		return c.newError(Truncated, errors.New("the answer reached its limit"))
	case StopRefused:
		return c.newError(Refused, errors.New("the model declined"))
	}
	return c.newError(Malformed, fmt.Errorf("unknown stop reason %q", errorMessage([]byte(reason))))
}

// isMalformed reports whether the body is not the protocol, in contrast to a
// connection that broke.
func isMalformed(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &kind) || errors.Is(err, errOversized) || errors.Is(err, errNotEvents)
}

var (
	errOversized = errors.New("the answer is longer than it may be")
	errNotEvents = errors.New("the response is not a stream of server-sent events")
	errTruncated = errors.New("the stream ended before the answer did")
)

// ReadServerEvents reads a stream of server-sent events. It calls received for every
// line and handle with the data of every event, until handle reports stop or an
// error. A stream that ends before is io.ErrUnexpectedEOF.
func ReadServerEvents(r io.Reader, received func(), handle func(data string) (stop bool, err error)) error {
	in := bufio.NewReaderSize(io.LimitReader(r, maxBodyBytes), 16<<10)
	var data strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		received()
		line = strings.TrimRight(line, "\r\n")
		switch {
		case line == "":
			if data.Len() == 0 {
				continue
			}
			stop, err := handle(data.String())
			if stop || err != nil {
				return err
			}
			data.Reset()
		case strings.HasPrefix(line, "data:"):
			if data.Len() > 0 {
				data.WriteByte('\n')
			}
			data.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "data:"), " "))
		case strings.HasPrefix(line, ":"), strings.HasPrefix(line, "event:"), strings.HasPrefix(line, "id:"), strings.HasPrefix(line, "retry:"):
		default:
			return errNotEvents
		}
	}
}
