package llm

import (
	"strings"
	"testing"
)

// FuzzStreams feeds foreign bytes to both protocols' readers.
func FuzzStreams(f *testing.F) {
	f.Add("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\"}}\n\ndata: {\"type\":\"message_stop\"}\n\n")
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\ndata: [DONE]\n\n")
	f.Add(": ping\r\n\r\ndata:a\ndata:b\n\n")
	f.Fuzz(func(t *testing.T, stream string) {
		a := anthropicStream{structured: len(stream)%2 == 0}
		_ = readServerEvents(strings.NewReader(stream), func() {}, a.event)
		o := openaiStream{}
		_ = readServerEvents(strings.NewReader(stream), func() {}, o.event)
		if a.Len() > MaxAnswerBytes || o.Len() > MaxAnswerBytes {
			t.Error("more was kept than an answer may have")
		}
		if len(a.model) > 100 || len(o.model) > 100 {
			t.Error("a model's name is not bounded")
		}
	})
}
