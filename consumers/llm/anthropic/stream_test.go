package anthropic

import (
	"strings"
	"testing"

	"cortex/consumers/llm"
)

// FuzzStream feeds arbitrary bytes to the reader of the protocol.
func FuzzStream(f *testing.F) {
	f.Add("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n")
	f.Add(": ping\r\n\r\ndata:a\ndata:b\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		s := stream{AnswerBuilder: llm.NewAnswerBuilder("m", nil), structured: len(text)%2 == 0}
		_ = llm.ReadServerEvents(strings.NewReader(text), func() {}, s.event)
		if s.Len() > llm.MaxAnswerBytes || len(s.Model) > llm.MaxModelBytes {
			t.Errorf("the answer has %d bytes, the model's name %d", s.Len(), len(s.Model))
		}
	})
}
