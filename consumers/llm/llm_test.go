package llm_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/consumers/llm"
	"cortex/consumers/llm/modeltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(url, key string, patience time.Duration) llm.Config {
	return llm.Config{Name: "test", URL: url, Model: "test-model", IdleTimeout: patience, Key: func() (string, error) { return key, nil }}
}

func TestAnthropic(t *testing.T) {
	modeltest.Conformance(t, func(s *modeltest.ModelServer, key string, patience time.Duration) (llm.Provider, error) {
		return llm.NewAnthropic(config(s.AnthropicURL(), key, patience))
	}, "max_tokens", "refusal")
}

func TestOpenAI(t *testing.T) {
	modeltest.Conformance(t, func(s *modeltest.ModelServer, key string, patience time.Duration) (llm.Provider, error) {
		return llm.NewOpenAI(config(s.OpenAIURL(), key, patience))
	}, "length", "content_filter")
}

func TestAddressesAreChecked(t *testing.T) {
	for _, url := range []string{"", "ftp://x", "http://", "/etc/passwd", "https://user:pw@host", "javascript:alert(1)"} {
		if _, err := llm.NewOpenAI(config(url, "", 0)); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
}
