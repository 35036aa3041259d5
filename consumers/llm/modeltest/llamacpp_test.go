//go:build llamacpp

package modeltest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cortex/consumers/llm"
	"cortex/consumers/llm/anthropic"
	"cortex/consumers/llm/openai"
	"cortex/embedded/slotcache/llamatest"
)

// TestRealLlamaServer calls a real llama-server over both protocols; see 'make llama'. Its
// model is random, so an answer without a schema reaches its limit, and one with a
// schema has the schema anyway.
func TestRealLlamaServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "random.gguf")
	if err := os.WriteFile(file, llamatest.ModelFile(), 0o600); err != nil {
		t.Fatal(err)
	}
	url, stop := llamatest.Start(t, "-m", file, "-c", "2048", "-np", "2", "--jinja")
	defer stop()
	config := func(url string) llm.Config {
		return llm.Config{Name: "test", URL: url, Model: "test-model", IdleTimeout: time.Minute}
	}
	oai, err := openai.New(config(url + "/v1"))
	if err != nil {
		t.Fatal(err)
	}
	defer oai.Close()
	ant, err := anthropic.New(config(url))
	if err != nil {
		t.Fatal(err)
	}
	defer ant.Close()

	for name, p := range map[string]llm.Provider{"openai": oai, "anthropic": ant} {
		t.Run(name+": an endless answer reaches its limit", func(t *testing.T) {
			var streamed strings.Builder
			_, err := p.Complete(t.Context(), llm.CompletionRequest{System: "be brief", Prompt: "why?", MaxTokens: 24}, func(d string) { streamed.WriteString(d) })
			if llm.ClassOf(err) != llm.Truncated || streamed.Len() == 0 {
				t.Errorf("%v, streamed %q", err, streamed.String())
			}
		})
	}
	t.Run("openai: an answer has its schema", func(t *testing.T) {
		schema := `{"type":"object","properties":{"ok":{"type":"boolean"},"many":{"enum":["one","two"]}},"required":["ok","many"],"additionalProperties":false}`
		a, err := oai.Complete(t.Context(), llm.CompletionRequest{Prompt: "is it?", Schema: []byte(schema), MaxTokens: 200}, nil)
		var v struct {
			OK   *bool  `json:"ok"`
			Many string `json:"many"`
		}
		if err != nil || json.Unmarshal([]byte(a.Text), &v) != nil || v.OK == nil || v.Many != "one" && v.Many != "two" || !a.UsageKnown || a.Usage.Output == 0 {
			t.Errorf("%+v, %v", a, err)
		}
	})
	t.Run("a probe", func(t *testing.T) {
		if err := oai.Probe(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("a prompt beyond its context is too long", func(t *testing.T) {
		_, err := oai.Complete(t.Context(), llm.CompletionRequest{Prompt: strings.Repeat("word ", 4000), MaxTokens: 8}, nil)
		if llm.ClassOf(err) != llm.TooLong {
			t.Errorf("%v", err)
		}
	})
	stop()
	t.Run("after the server stopped", func(t *testing.T) {
		if _, err := oai.Complete(t.Context(), llm.CompletionRequest{Prompt: "why?", MaxTokens: 8}, nil); llm.ClassOf(err) != llm.Unavailable {
			t.Errorf("%v", err)
		}
	})
}
