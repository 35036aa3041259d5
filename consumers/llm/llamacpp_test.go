//go:build llamacpp

package llm_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cortex/consumers/llm"
	"cortex/embedded/slotcache/llamatest"
)

// TestARealServer speaks both protocols with a real llama-server whose model is
// random; see 'make llama'. What it says has no sense, so answers without a schema
// hit their limit, and one with a schema has the schema all the same.
func TestARealServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "random.gguf")
	if err := os.WriteFile(file, llamatest.ModelFile(), 0o600); err != nil {
		t.Fatal(err)
	}
	url, stop := llamatest.Start(t, "-m", file, "-c", "2048", "-np", "2", "--jinja")
	defer stop()
	openai, err := llm.NewOpenAI(config(url+"/v1", "", time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer openai.Close()
	anthropic, err := llm.NewAnthropic(config(url, "", time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	defer anthropic.Close()

	for name, p := range map[string]llm.Provider{"openai": openai, "anthropic": anthropic} {
		t.Run(name+": an endless answer is cut off, after it streamed", func(t *testing.T) {
			var streamed strings.Builder
			_, err := p.Complete(t.Context(), llm.CompletionRequest{System: "be brief", Prompt: "why?", MaxTokens: 24}, func(d string) { streamed.WriteString(d) })
			if llm.ClassOf(err) != llm.Truncated || streamed.Len() == 0 {
				t.Errorf("%v, streamed %q", err, streamed.String())
			}
		})
	}
	t.Run("openai: an answer has its schema", func(t *testing.T) {
		schema := `{"type":"object","properties":{"ok":{"type":"boolean"},"many":{"enum":["one","two"]}},"required":["ok","many"],"additionalProperties":false}`
		a, err := openai.Complete(t.Context(), llm.CompletionRequest{Prompt: "is it?", Schema: []byte(schema), MaxTokens: 200}, nil)
		var v struct {
			OK   *bool  `json:"ok"`
			Many string `json:"many"`
		}
		if err != nil || json.Unmarshal([]byte(a.Text), &v) != nil || v.OK == nil || v.Many != "one" && v.Many != "two" || !a.UsageKnown || a.Usage.Output == 0 {
			t.Errorf("%+v, %v", a, err)
		}
	})
	t.Run("it can be probed", func(t *testing.T) {
		if err := openai.Probe(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("a prompt beyond its context is too long", func(t *testing.T) {
		_, err := openai.Complete(t.Context(), llm.CompletionRequest{Prompt: strings.Repeat("word ", 4000), MaxTokens: 8}, nil)
		if llm.ClassOf(err) != llm.TooLong {
			t.Errorf("%v", err)
		}
	})
	stop()
	t.Run("it died", func(t *testing.T) {
		if _, err := openai.Complete(t.Context(), llm.CompletionRequest{Prompt: "why?", MaxTokens: 8}, nil); llm.ClassOf(err) != llm.Unavailable {
			t.Errorf("%v", err)
		}
	})
}
