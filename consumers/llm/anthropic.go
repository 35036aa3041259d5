package llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"cortex/events"
)

// anthropicVersion is the version of the protocol that is spoken.
const anthropicVersion = "2023-06-01"

// answerTool is the tool whose input is the answer, when it has a schema.
const answerTool = "answer"

// Anthropic speaks Anthropic's Messages protocol.
type Anthropic struct{ *caller }

// NewAnthropic returns a provider; the address has no path ("https://api.anthropic.com").
func NewAnthropic(c Config) (*Anthropic, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	return &Anthropic{newCaller(c, map[string]string{"Anthropic-Version": anthropicVersion}, func(h http.Header, key string) { h.Set("X-Api-Key", key) })}, nil
}

type anthropicRequest struct {
	Model     string               `json:"model"`
	MaxTokens int                  `json:"max_tokens"`
	System    string               `json:"system,omitempty"`
	Messages  []message            `json:"messages"`
	Stream    bool                 `json:"stream"`
	Tools     []anthropicTool      `json:"tools,omitempty"`
	Choice    *anthropicToolChoice `json:"tool_choice,omitempty"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type anthropicTool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"input_schema"`
}

type anthropicToolChoice struct {
	Type string `json:"type"`
	Name string `json:"name"`
}

// Complete implements [Provider].
func (a *Anthropic) Complete(ctx context.Context, r CompletionRequest, delta func(string)) (Completion, error) {
	body := anthropicRequest{Model: a.Config.Model, MaxTokens: r.MaxTokens, System: r.System, Messages: []message{{"user", r.Prompt}}, Stream: true}
	if r.Schema != nil {
		body.Tools = []anthropicTool{{answerTool, "Give the answer.", r.Schema}}
		body.Choice = &anthropicToolChoice{"tool", answerTool}
	}
	ctx, heard, end := a.withIdleTimeout(ctx)
	defer end()
	resp, failed := a.send(ctx, http.MethodPost, "/v1/messages", body)
	if failed != nil {
		return Completion{}, failed
	}
	defer resp.Body.Close()
	s := anthropicStream{model: a.Config.Model, structured: r.Schema != nil, text: text{delta: delta}}
	err := readServerEvents(resp.Body, heard, s.event)
	if failed := a.classifyStreamEnd(ctx, err, s.stop, s.usage); failed != nil {
		return Completion{}, failed
	}
	return Completion{Text: s.String(), Model: s.model, Usage: s.usage, UsageKnown: s.usageKnown}, nil
}

// anthropicStream gathers the events of one answer.
type anthropicStream struct {
	text
	model      string
	structured bool
	usage      Usage
	usageKnown bool
	stop       string
}

type anthropicEvent struct {
	Type    string `json:"type"`
	Message struct {
		Model string         `json:"model"`
		Usage anthropicUsage `json:"usage"`
	} `json:"message"`
	Delta struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Partial string `json:"partial_json"`
		Stop    string `json:"stop_reason"`
	} `json:"delta"`
	Usage anthropicUsage `json:"usage"`
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
}

type anthropicUsage struct {
	Input      int `json:"input_tokens"`
	CacheWrite int `json:"cache_creation_input_tokens"`
	CacheRead  int `json:"cache_read_input_tokens"`
	Output     int `json:"output_tokens"`
}

func (s *anthropicStream) event(data string) (stop bool, err error) {
	var e anthropicEvent
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return false, fmt.Errorf("an event is not JSON: %w", err)
	}
	switch e.Type {
	case "message_start":
		if e.Message.Model != "" {
			s.model = events.SanitizeLine(e.Message.Model, 100)
		}
		u := e.Message.Usage
		s.usage = Usage{Input: u.Input + u.CacheWrite + u.CacheRead, Output: u.Output}
	case "content_block_delta":
		switch {
		case s.structured && e.Delta.Type == "input_json_delta":
			return false, s.add(e.Delta.Partial)
		case !s.structured && e.Delta.Type == "text_delta":
			return false, s.add(e.Delta.Text)
		}
	case "message_delta":
		s.stop = e.Delta.Stop
		if e.Usage.Output > 0 {
			s.usage.Output, s.usageKnown = e.Usage.Output, true
		}
	case "message_stop":
		return true, nil
	case "error":
		return false, &streamError{overloaded: e.Error.Type == "overloaded_error" || e.Error.Type == "api_error", text: e.Error.Message}
	}
	return false, nil
}

// streamError is an error that a server reports inside a stream.
type streamError struct {
	overloaded bool
	text       string
}

func (s *streamError) Error() string { return s.text }

// classifyStreamEnd judges how a stream ended.
func (c *caller) classifyStreamEnd(ctx context.Context, err error, stop string, used Usage) error {
	fail := func(class ErrorClass, err error) error {
		e := c.newError(class, err)
		e.Usage = used
		return e
	}
	var told *streamError
	switch {
	case err == nil:
	case errors.As(err, &told):
		if told.overloaded {
			return fail(Unavailable, errors.New(errorMessage([]byte(told.text))))
		}
		return fail(BadRequest, errors.New(errorMessage([]byte(told.text))))
	case ctx.Err() != nil:
		e := c.classifyTransport(ctx, err)
		e.Usage = used
		return e
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fail(Truncated, errors.New("the stream ended before the answer did"))
	default:
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		if errors.As(err, &syntax) || errors.As(err, &kind) || errors.Is(err, errOversized) || errors.Unwrap(err) == nil {
			return fail(Malformed, err)
		}
		return fail(Truncated, err)
	}
	switch stop {
	case "end_turn", "stop_sequence", "tool_use", "stop", "tool_calls", "":
		return nil
	case "max_tokens", "length":
		return fail(Truncated, errors.New("the answer reached its limit"))
	case "refusal", "content_filter":
		return fail(Refused, errors.New("the model declined"))
	}
	return fail(Malformed, fmt.Errorf("it stopped for %q", errorMessage([]byte(stop))))
}

// Probe implements [Provider]: it lists models.
func (a *Anthropic) Probe(ctx context.Context) error { return a.probe(ctx, "/v1/models") }

func (c *caller) probe(ctx context.Context, path string) error {
	ctx, _, end := c.withIdleTimeout(ctx)
	defer end()
	resp, failed := c.send(ctx, http.MethodGet, path, nil)
	if failed != nil {
		return failed
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBodyBytes)); err != nil {
		return c.classifyTransport(ctx, err)
	}
	return nil
}
