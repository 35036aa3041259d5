package openai_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/consumers/llm"
	"cortex/consumers/llm/modeltest"
	"cortex/consumers/llm/openai"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	modeltest.Conformance(t, func(s *modeltest.ModelServer, key string, idleTimeout time.Duration) (llm.Provider, error) {
		return openai.New(llm.Config{Name: "test", URL: s.OpenAIURL(), Model: "test-model", IdleTimeout: idleTimeout, Key: func() (string, error) { return key, nil }})
	}, "length", "content_filter")
}
