package anthropic_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/consumers/llm"
	"cortex/consumers/llm/anthropic"
	"cortex/consumers/llm/modeltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	modeltest.Conformance(t, func(s *modeltest.ModelServer, key string, idleTimeout time.Duration) (llm.Provider, error) {
		return anthropic.New(llm.Config{Name: "test", URL: s.AnthropicURL(), Model: "test-model", IdleTimeout: idleTimeout, Key: func() (string, error) { return key, nil }})
	}, "max_tokens", "refusal")
}
