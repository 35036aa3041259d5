// Package openai implements llm.Provider over OpenAI's Chat Completions protocol,
// which most other servers implement, too (Moonshot, Ollama, llama.cpp, vLLM). Its
// promises are those of package llm.
package openai

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"cortex/consumers/llm"
	"cortex/events"
)

// schemaName is the name that the protocol wants for the schema of an answer.
const schemaName = "answer"

// Provider is one model behind one address.
type Provider struct{ *llm.Client }

var _ llm.Provider = Provider{}

// New returns a provider. The address ends before "/chat/completions"
// ("https://api.openai.com/v1", "http://127.0.0.1:11434/v1").
func New(c llm.Config) (Provider, error) {
	client, err := llm.NewClient(c, func(h http.Header, key string) {
		if key != "" {
			h.Set("Authorization", "Bearer "+key)
		}
	})
	return Provider{client}, err
}

type request struct {
	Model     string         `json:"model"`
	Messages  []message      `json:"messages"`
	MaxTokens int            `json:"max_tokens,omitempty"`
	Stream    bool           `json:"stream"`
	Options   map[string]any `json:"stream_options"`
	Format    *format        `json:"response_format,omitempty"`
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type format struct {
	Type   string `json:"type"`
	Schema struct {
		Name   string          `json:"name"`
		Strict bool            `json:"strict"`
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// Complete implements [llm.Provider].
func (p Provider) Complete(ctx context.Context, r llm.CompletionRequest, delta func(string)) (llm.Completion, error) {
	body := request{Model: p.Model(), MaxTokens: r.MaxTokens, Stream: true, Options: map[string]any{"include_usage": true}}
	if r.System != "" {
		body.Messages = append(body.Messages, message{"system", r.System})
	}
	body.Messages = append(body.Messages, message{"user", r.Prompt})
	if r.Schema != nil {
		body.Format = &format{Type: "json_schema"}
		body.Format.Schema.Name, body.Format.Schema.Strict, body.Format.Schema.Schema = schemaName, true, r.Schema
	}
	s := stream{llm.NewAnswerBuilder(p.Model(), delta)}
	if err := p.Stream(ctx, "/chat/completions", body, s.AnswerBuilder, s.event); err != nil {
		return llm.Completion{}, err
	}
	return s.Completion(), nil
}

// Probe implements [llm.Provider]: it lists models.
func (p Provider) Probe(ctx context.Context) error { return p.Get(ctx, "/models") }

// stream collects the chunks of one answer.
type stream struct{ *llm.AnswerBuilder }

type chunk struct {
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

func (s stream) event(data string) (stop bool, err error) {
	if data == "[DONE]" {
		return true, nil
	}
	var c chunk
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		return false, fmt.Errorf("an event is not JSON: %w", err)
	}
	if c.Error != nil {
		return false, &llm.ServerError{Overloaded: true, Message: c.Error.Message}
	}
	if c.Model != "" {
		s.Model = events.SanitizeLine(c.Model, llm.MaxModelBytes)
	}
	if c.Usage != nil {
		s.Usage, s.UsageKnown = llm.Usage{Input: c.Usage.Prompt, Output: c.Usage.Completion}, true
	}
	for _, choice := range c.Choices[:min(1, len(c.Choices))] {
		if choice.Finish != "" {
			s.SetStop(choice.Finish)
		}
		if choice.Delta.Refusal != "" {
			s.Stop = llm.StopRefused
		}
		if err := s.Add(choice.Delta.Content); err != nil {
			return false, err
		}
	}
	return false, nil
}
