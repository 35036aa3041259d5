package llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"cortex/events"
)

// OpenAI speaks OpenAI's Chat Completions protocol.
type OpenAI struct{ *caller }

// NewOpenAI returns a provider; the address ends before "/chat/completions"
// ("https://api.openai.com/v1", "http://127.0.0.1:11434/v1").
func NewOpenAI(c Config) (*OpenAI, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	return &OpenAI{newCaller(c, nil, func(h http.Header, key string) { h.Set("Authorization", "Bearer "+key) })}, nil
}

type openaiRequest struct {
	Model     string         `json:"model"`
	Messages  []message      `json:"messages"`
	MaxTokens int            `json:"max_tokens,omitempty"`
	Stream    bool           `json:"stream"`
	Options   map[string]any `json:"stream_options"`
	Format    *openaiFormat  `json:"response_format,omitempty"`
}

type openaiFormat struct {
	Type   string `json:"type"`
	Schema struct {
		Name   string          `json:"name"`
		Strict bool            `json:"strict"`
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// Complete implements [Provider].
func (o *OpenAI) Complete(ctx context.Context, r CompletionRequest, delta func(string)) (Completion, error) {
	body := openaiRequest{Model: o.Config.Model, MaxTokens: r.MaxTokens, Stream: true, Options: map[string]any{"include_usage": true}}
	if r.System != "" {
		body.Messages = append(body.Messages, message{"system", r.System})
	}
	body.Messages = append(body.Messages, message{"user", r.Prompt})
	if r.Schema != nil {
		body.Format = &openaiFormat{Type: "json_schema"}
		body.Format.Schema.Name, body.Format.Schema.Strict, body.Format.Schema.Schema = answerTool, true, r.Schema
	}
	ctx, heard, end := o.withIdleTimeout(ctx)
	defer end()
	resp, failed := o.send(ctx, http.MethodPost, "/chat/completions", body)
	if failed != nil {
		return Completion{}, failed
	}
	defer resp.Body.Close()
	s := openaiStream{model: o.Config.Model, text: text{delta: delta}}
	err := readServerEvents(resp.Body, heard, s.event)
	if failed := o.classifyStreamEnd(ctx, err, s.stop, s.usage); failed != nil {
		return Completion{}, failed
	}
	if s.stop == "" {
		return Completion{}, o.newError(Truncated, errors.New("the stream ended before the answer did"))
	}
	return Completion{Text: s.String(), Model: s.model, Usage: s.usage, UsageKnown: s.usageKnown}, nil
}

type openaiStream struct {
	text
	model      string
	usage      Usage
	usageKnown bool
	stop       string
}

type openaiChunk struct {
	Model   string `json:"model"`
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
			Refusal string `json:"refusal"`
		} `json:"delta"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
	} `json:"usage"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

func (s *openaiStream) event(data string) (stop bool, err error) {
	if data == "[DONE]" {
		return true, nil
	}
	var c openaiChunk
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		return false, fmt.Errorf("an event is not JSON: %w", err)
	}
	if c.Error != nil {
		return false, &streamError{overloaded: true, text: c.Error.Message}
	}
	if c.Model != "" {
		s.model = events.SanitizeLine(c.Model, 100)
	}
	if c.Usage != nil {
		s.usage, s.usageKnown = Usage{c.Usage.Prompt, c.Usage.Completion}, true
	}
	for _, choice := range c.Choices[:min(1, len(c.Choices))] {
		if choice.Finish != "" {
			s.stop = choice.Finish
		}
		if choice.Delta.Refusal != "" {
			s.stop = "refusal"
		}
		if err := s.add(choice.Delta.Content); err != nil {
			return false, err
		}
	}
	return false, nil
}

// Probe implements [Provider]: it lists models.
func (o *OpenAI) Probe(ctx context.Context) error { return o.probe(ctx, "/models") }
