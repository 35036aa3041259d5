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

// ProviderFactory returns a provider that calls the server with a key and an idle
// timeout.
type ProviderFactory func(s *ModelServer, key string, idleTimeout time.Duration) (llm.Provider, error)

// idleTimeout is the provider's in tests whose server stops sending.
const idleTimeout = 150 * time.Millisecond

// failureCase is one failure of a server, and its class.
type failureCase struct {
	name  string
	reply CannedReply
	class llm.ErrorClass
}

// failureCases are the failures that both protocols share.
var failureCases = []failureCase{
	{"overloaded", CannedReply{Status: 503, Body: `{"error":{"message":"Loading model"}}`}, llm.Unavailable},
	{"a proxy's page", CannedReply{Status: 502, Body: "<html>Bad Gateway</html>"}, llm.Unavailable},
	{"too many requests", CannedReply{Status: 429, RetryAfter: "7", Body: `{"error":{"message":"slow down"}}`}, llm.RateLimited},
	{"no credit, reported as 429", CannedReply{Status: 429, Body: `{"error":{"message":"You exceeded your quota","code":"insufficient_quota"}}`}, llm.OutOfCredit},
	{"no credit, reported as 400", CannedReply{Status: 400, Body: `{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}`}, llm.OutOfCredit},
	{"payment required", CannedReply{Status: 402}, llm.OutOfCredit},
	{"a wrong key", CannedReply{Status: 401, Body: `{"error":{"message":"invalid key"}}`}, llm.Unauthorized},
	{"a bad request", CannedReply{Status: 400, Body: `{"error":{"message":"no such parameter"}}`}, llm.BadRequest},
	{"too long for llama-server", CannedReply{Status: 400, Body: `{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}`}, llm.TooLong},
	{"too long", CannedReply{Status: 400, Body: `{"error":{"message":"exceeds the context length","code":"context_length_exceeded"}}`}, llm.TooLong},
	{"a redirect", CannedReply{Status: 307}, llm.Malformed},
	{"cut in the middle", CannedReply{Text: "abcdef", DisconnectAfter: 2}, llm.Truncated},
	{"silent in the middle", CannedReply{Text: "abcdef", Stall: true}, llm.TimedOut},
	{"silent from the start", CannedReply{Delay: time.Hour}, llm.TimedOut},
	{"an error in the middle", CannedReply{Text: "abcdef", StreamError: "Overloaded"}, llm.Unavailable},
	{"no stream", CannedReply{Body: "It works!\n"}, llm.Malformed},
	{"a stream that is not JSON", CannedReply{Body: "data: {not json\n\n"}, llm.Malformed},
	{"an empty body", CannedReply{Body: "\n"}, llm.Truncated},
	{"an oversized answer", CannedReply{Text: strings.Repeat("x", llm.MaxAnswerBytes+1)}, llm.Malformed},
}

// Conformance tests a provider against the promises of package llm. limited and
// declined are the protocol's words for an answer that reached its limit, and for a
// model that declined.
func Conformance(t *testing.T, provider ProviderFactory, limited, declined string) {
	ask := func(t *testing.T, reply CannedReply, r llm.CompletionRequest) (llm.Completion, string, []RecordedCall, error) {
		s := Start(func(RecordedCall) CannedReply { return reply })
		defer s.Close()
		p, err := provider(s, "sk-secret", idleTimeout)
		if err != nil {
			t.Fatal(err)
		}
		defer closeIdle(p)
		var streamed strings.Builder
		a, err := p.Complete(t.Context(), r, func(d string) { streamed.WriteString(d) })
		return a, streamed.String(), s.Calls(), err
	}
	question := llm.CompletionRequest{System: "be brief", Prompt: "why?", MaxTokens: 100}

	t.Run("a whole answer, and its parts", func(t *testing.T) {
		a, streamed, calls, err := ask(t, CannedReply{Text: "because – ü", Input: 11, Output: 7, Pieces: 5}, question)
		if err != nil || a.Text != "because – ü" && !strings.Contains(a.Text, "because") || a.Usage != (llm.Usage{Input: 11, Output: 7}) || !a.UsageKnown {
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
		a, _, calls, err := ask(t, CannedReply{Text: `{"a":1}`}, r)
		if err != nil || a.Text != `{"a":1}` || string(calls[0].Schema) != `{"type":"object"}` {
			t.Errorf("%+v, %v, %+v", a, err, calls)
		}
	})
	t.Run("usage that the server does not report stays unknown", func(t *testing.T) {
		if a, _, _, err := ask(t, CannedReply{Text: "x", OmitUsage: true}, question); err != nil || a.UsageKnown {
			t.Errorf("%+v, %v", a, err)
		}
	})
	for _, f := range append(failureCases, failureCase{"the answer's limit", CannedReply{Text: "x", Stop: limited}, llm.Truncated}, failureCase{"declined", CannedReply{Text: "x", Stop: declined}, llm.Refused}) {
		t.Run(f.name, func(t *testing.T) {
			_, _, _, err := ask(t, f.reply, question)
			if got := llm.ClassOf(err); err == nil || got != f.class {
				t.Errorf("%s: %v", got, err)
			}
			var e *llm.CallError
			if f.reply.RetryAfter != "" && (!errors.As(err, &e) || e.RetryAfter != 7*time.Second) {
				t.Errorf("%+v", e)
			}
			if err != nil && strings.Contains(err.Error(), "sk-secret") {
				t.Errorf("the key is in %v", err)
			}
		})
	}
	t.Run("no server", func(t *testing.T) { testUnreachable(t, provider, question) })
	t.Run("cancelled", func(t *testing.T) {
		s := Start(func(RecordedCall) CannedReply { return CannedReply{Text: "abc", Stall: true} })
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
		s := Start(func(RecordedCall) CannedReply { return CannedReply{Status: status} })
		defer s.Close()
		p, err := provider(s, "", idleTimeout)
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

func testUnreachable(t *testing.T, provider ProviderFactory, r llm.CompletionRequest) {
	s := Start(nil)
	p, err := provider(s, "", idleTimeout)
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
