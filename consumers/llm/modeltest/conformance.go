package modeltest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"cortex/consumers/llm"
)

// Make returns a provider that asks the server, with this key and patience.
type Make func(s *Server, key string, patience time.Duration) (llm.Provider, error)

// patience of providers in tests whose server falls silent.
const patience = 150 * time.Millisecond

// failure is one way to fail, and the class that it is.
type failure struct {
	name  string
	reply Reply
	class llm.Class
}

// failures are the ways of both protocols.
var failures = []failure{
	{"overloaded", Reply{Status: 503, Body: `{"error":{"message":"Loading model"}}`}, llm.Unavailable},
	{"a proxy's page", Reply{Status: 502, Body: "<html>Bad Gateway</html>"}, llm.Unavailable},
	{"too many requests", Reply{Status: 429, After: "7", Body: `{"error":{"message":"slow down"}}`}, llm.RateLimited},
	{"no credit, said as 429", Reply{Status: 429, Body: `{"error":{"message":"You exceeded your quota","code":"insufficient_quota"}}`}, llm.OutOfCredit},
	{"no credit, said as 400", Reply{Status: 400, Body: `{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}`}, llm.OutOfCredit},
	{"payment required", Reply{Status: 402}, llm.OutOfCredit},
	{"a wrong key", Reply{Status: 401, Body: `{"error":{"message":"invalid key"}}`}, llm.Unauthorized},
	{"asked wrongly", Reply{Status: 400, Body: `{"error":{"message":"no such parameter"}}`}, llm.BadRequest},
	{"too long for llama-server", Reply{Status: 400, Body: `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`}, llm.TooLong},
	{"too long", Reply{Status: 400, Body: `{"error":{"message":"exceeds the context length","code":"context_length_exceeded"}}`}, llm.TooLong},
	{"a redirect", Reply{Status: 307}, llm.Garbage},
	{"cut in the middle", Reply{Text: "abcdef", CutAt: 2}, llm.CutOff},
	{"silent in the middle", Reply{Text: "abcdef", Silent: true}, llm.TimedOut},
	{"silent from the start", Reply{Delay: time.Hour}, llm.TimedOut},
	{"an error in the middle", Reply{Text: "abcdef", Inside: "Overloaded"}, llm.Unavailable},
	{"no stream", Reply{Body: "It works!\n"}, llm.Garbage},
	{"a stream of garbage", Reply{Body: "data: {not json\n\n"}, llm.Garbage},
	{"an empty body", Reply{Body: "\n"}, llm.CutOff},
	{"far too much", Reply{Text: strings.Repeat("x", llm.MaxAnswerBytes+1)}, llm.Garbage},
}

// Conformance holds a provider to what the llm package promises. limited and
// declined are how the protocol says that an answer reached its limit, and that
// the model declined.
func Conformance(t *testing.T, provider Make, limited, declined string) {
	ask := func(t *testing.T, reply Reply, r llm.Request) (llm.Answer, string, []Call, error) {
		s := Start(func(Call) Reply { return reply })
		defer s.Close()
		p, err := provider(s, "sk-secret", patience)
		if err != nil {
			t.Fatal(err)
		}
		defer closeIdle(p)
		var streamed strings.Builder
		a, err := p.Complete(t.Context(), r, func(d string) { streamed.WriteString(d) })
		return a, streamed.String(), s.Calls(), err
	}
	question := llm.Request{System: "be brief", Prompt: "why?", MaxTokens: 100}

	t.Run("an answer, whole and as it comes", func(t *testing.T) {
		a, streamed, calls, err := ask(t, Reply{Text: "because – ü", Input: 11, Output: 7, Pieces: 5}, question)
		if err != nil || a.Text != "because – ü" && !strings.Contains(a.Text, "because") || a.Usage != (llm.Usage{Input: 11, Output: 7}) || !a.Counted {
			t.Errorf("%+v, %v", a, err)
		}
		if streamed != a.Text {
			t.Errorf("streamed %q", streamed)
		}
		if len(calls) != 1 || calls[0].Key != "sk-secret" || calls[0].System != "be brief" || calls[0].Prompt != "why?" || calls[0].Schema != nil {
			t.Errorf("%+v", calls)
		}
	})
	t.Run("JSON by a schema", func(t *testing.T) {
		r := question
		r.Schema = []byte(`{"type":"object"}`)
		a, _, calls, err := ask(t, Reply{Text: `{"a":1}`}, r)
		if err != nil || a.Text != `{"a":1}` || string(calls[0].Schema) != `{"type":"object"}` {
			t.Errorf("%+v, %v, %+v", a, err, calls)
		}
	})
	t.Run("usage that is not told is not made up", func(t *testing.T) {
		if a, _, _, err := ask(t, Reply{Text: "x", Uncount: true}, question); err != nil || a.Counted {
			t.Errorf("%+v, %v", a, err)
		}
	})
	for _, f := range append(failures, failure{"the answer's limit", Reply{Text: "x", Stop: limited}, llm.CutOff}, failure{"declined", Reply{Text: "x", Stop: declined}, llm.Refused}) {
		t.Run(f.name, func(t *testing.T) {
			_, _, _, err := ask(t, f.reply, question)
			if got := llm.ClassOf(err); err == nil || got != f.class {
				t.Errorf("%s: %v", got, err)
			}
			var e *llm.Error
			if f.reply.After != "" && (!errors.As(err, &e) || e.After != 7*time.Second) {
				t.Errorf("%+v", e)
			}
			if err != nil && strings.Contains(err.Error(), "sk-secret") {
				t.Errorf("the key is in %v", err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) { nobody(t, provider, question) })
	t.Run("cancelled", func(t *testing.T) {
		s := Start(func(Call) Reply { return Reply{Text: "abc", Silent: true} })
		defer s.Close()
		p, err := provider(s, "", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		defer closeIdle(p)
		ctx, cancel := context.WithCancel(t.Context())
		_, err = p.Complete(ctx, question, func(string) { cancel() })
		if llm.ClassOf(err) != llm.Cancelled {
			t.Errorf("%v", err)
		}
	})
	t.Run("a probe", func(t *testing.T) {
		status := 0
		s := Start(func(Call) Reply { return Reply{Status: status} })
		defer s.Close()
		p, err := provider(s, "", patience)
		if err != nil {
			t.Fatal(err)
		}
		defer closeIdle(p)
		if err := p.Probe(t.Context()); err != nil {
			t.Error(err)
		}
		status = http.StatusServiceUnavailable
		if err := p.Probe(t.Context()); llm.ClassOf(err) != llm.Unavailable || err == nil {
			t.Errorf("%v", err)
		}
	})
}

func nobody(t *testing.T, provider Make, r llm.Request) {
	s := Start(nil)
	p, err := provider(s, "", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIdle(p)
	s.Close()
	if _, err := p.Complete(t.Context(), r, nil); llm.ClassOf(err) != llm.Unavailable || err == nil {
		t.Errorf("%v", err)
	}
}

func closeIdle(p llm.Provider) {
	if c, ok := p.(interface{ Close() }); ok {
		c.Close()
	}
}
