// Package anthropic implements llm.Provider over Anthropic's Messages protocol. Its
// promises are those of package llm.
package anthropic

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"cortex/consumers/llm"
	"cortex/events"
)

// protocolVersion is the version of the protocol.
const protocolVersion = "2023-06-01"

// answerTool is the tool whose input is the answer to a request with a schema.
const answerTool = "answer"

// Provider is one model behind one address.
type Provider struct{ *llm.Client }

var _ llm.Provider = Provider{}

// New returns a provider. The address has no path ("https://api.anthropic.com").
func New(c llm.Config) (Provider, error) {
	client, err := llm.NewClient(c, func(h http.Header, key string) {
		h.Set("Anthropic-Version", protocolVersion)
		if key != "" {
			h.Set("X-Api-Key", key)
		}
	})
	return Provider{client}, err
}

type request struct {
	Model     string      `json:"model"`
	MaxTokens int         `json:"max_tokens"`
	System    string      `json:"system,omitempty"`
	Messages  []message   `json:"messages"`
	Stream    bool        `json:"stream"`
	Tools     []tool      `json:"tools,omitempty"`
	Choice    *toolChoice `json:"tool_choice,omitempty"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"input_schema"`
}

type toolChoice struct {
	Type string `json:"type"`
	Name string `json:"name"`
}

// Complete implements [llm.Provider].
func (p Provider) Complete(ctx context.Context, r llm.CompletionRequest, delta func(string)) (llm.Completion, error) {
	body := request{Model: p.Model(), MaxTokens: r.MaxTokens, System: r.System, Messages: []message{{"user", r.Prompt}}, Stream: true}
	if r.Schema != nil {
		body.Tools = []tool{{answerTool, "Give the answer.", r.Schema}}
		body.Choice = &toolChoice{"tool", answerTool}
	}
	s := stream{AnswerBuilder: llm.NewAnswerBuilder(p.Model(), delta), structured: r.Schema != nil}
	if err := p.Stream(ctx, "/v1/messages", body, s.AnswerBuilder, s.event); err != nil {
		return llm.Completion{}, err
	}
	return s.Completion(), nil
}

// Probe implements [llm.Provider]: it lists models.
func (p Provider) Probe(ctx context.Context) error { return p.Get(ctx, "/v1/models") }

// stream collects the events of one answer.
type stream struct {
	*llm.AnswerBuilder
	structured bool // the answer is the input of answerTool
}

type event struct {
	Type    string `json:"type"`
	Message struct {
		Model string `json:"model"`
		Usage usage  `json:"usage"`
	} `json:"message"`
	Delta struct {
		Type    string `json:"type"`
		Text    string `json:"text"`
		Partial string `json:"partial_json"`
		Stop    string `json:"stop_reason"`
	} `json:"delta"`
	Usage usage `json:"usage"`
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
}

type usage struct {
	Input      int `json:"input_tokens"`
	CacheWrite int `json:"cache_creation_input_tokens"`
	CacheRead  int `json:"cache_read_input_tokens"`
	Output     int `json:"output_tokens"`
}

func (s *stream) event(data string) (stop bool, err error) {
	var e event
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return false, fmt.Errorf("an event is not JSON: %w", err)
	}
	switch e.Type {
	case "message_start":
		if e.Message.Model != "" {
			s.Model = events.SanitizeLine(e.Message.Model, llm.MaxModelBytes)
		}
		u := e.Message.Usage
		s.Usage = llm.Usage{Input: u.Input + u.CacheWrite + u.CacheRead, Output: u.Output}
	case "content_block_delta":
		switch {
		case s.structured && e.Delta.Type == "input_json_delta":
			return false, s.Add(e.Delta.Partial)
		case !s.structured && e.Delta.Type == "text_delta":
			return false, s.Add(e.Delta.Text)
		}
	case "message_delta":
		s.SetStop(e.Delta.Stop)
		if e.Usage.Output > 0 {
			s.Usage.Output, s.UsageKnown = e.Usage.Output, true
		}
	case "message_stop":
		if s.Stop == "" { // some servers leave the reason out
			s.Stop = llm.StopComplete
		}
		return true, nil
	case "error":
		return false, &llm.ServerError{Overloaded: e.Error.Type == "overloaded_error" || e.Error.Type == "api_error", Message: e.Error.Message}
	}
	return false, nil
}
