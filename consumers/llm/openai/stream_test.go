package openai

import (
	"strings"
	"testing"

	"cortex/consumers/llm"
)

// FuzzStream feeds arbitrary bytes to the reader of the protocol.
func FuzzStream(f *testing.F) {
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\ndata: [DONE]\n\n")
	f.Add(": ping\r\n\r\ndata:a\ndata:b\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := stream{llm.NewAnswerBuilder("m", nil)}
		_ = llm.ReadServerEvents(strings.NewReader(text), func() {}, s.event)
		if s.Len() > llm.MaxAnswerBytes || len(s.Model) > llm.MaxModelBytes {
			t.Errorf("the answer has %d bytes, the model's name %d", s.Len(), len(s.Model))
		}
	})
}
