// Package modeltest provides a model server for tests: real HTTP, both protocols, and
// the failures of real servers. [Conformance] tests a provider against the promises
// of package llm.
package modeltest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// RecordedCall is one request to the server.
type RecordedCall struct {
	Path   string
	Key    string // as the client sent it
	System string
	Prompt string
	Schema json.RawMessage // nil for prose
	Number int             // from 1
}

// CannedReply is one response. The zero value is an empty, complete answer.
type CannedReply struct {
	Text            string
	Pieces          int           // number of parts; 0 is 3
	Delay           time.Duration // before the first byte
	PieceDelay      time.Duration // between parts
	Status          int           // 0 is 200
	Body            string        // sent instead of an answer
	RetryAfter      string        // the Retry-After header
	Stop            string        // the stop reason, in the protocol's words; "" is the normal one
	Input           int           // tokens; 0 is the prompt's bytes / 4
	Output          int           // tokens; 0 is the text's bytes / 4
	OmitUsage       bool          // do not report usage
	DisconnectAfter int           // close the connection after this many parts; 0 is never
	Stall           bool          // send nothing after the first part
	StreamError     string        // an error inside the stream, after the first part
}

// ModelServer is a model server. Use [Start].
type ModelServer struct {
	*httptest.Server

	mu     sync.Mutex
	answer func(RecordedCall) CannedReply // nil answers "ok"
	calls  []RecordedCall
	closed chan struct{}
	once   sync.Once
}

// Start starts a server. answer returns the reply to each call; nil replies "ok".
// Close stops the server.
func Start(answer func(RecordedCall) CannedReply) *ModelServer {
	s := &ModelServer{answer: answer, closed: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", s.messages)
	mux.HandleFunc("POST /v1/chat/completions", s.chat)
	mux.HandleFunc("GET /v1/models", s.models)
	s.Server = httptest.NewServer(mux)
	return s
}

// Close stops the server and every call in progress. It may be called twice.
func (s *ModelServer) Close() {
	s.once.Do(func() {
		close(s.closed)
		s.CloseClientConnections()
		s.Server.Close()
	})
}

// SetAnswer replaces the function that returns replies.
func (s *ModelServer) SetAnswer(answer func(RecordedCall) CannedReply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// Calls returns the calls so far.
func (s *ModelServer) Calls() []RecordedCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]RecordedCall(nil), s.calls...)
}

// AnthropicURL returns the address for Anthropic's protocol.
func (s *ModelServer) AnthropicURL() string { return s.URL }

// OpenAIURL returns the address for OpenAI's protocol.
func (s *ModelServer) OpenAIURL() string { return s.URL + "/v1" }

func (s *ModelServer) models(w http.ResponseWriter, _ *http.Request) {
	reply := s.record(RecordedCall{Path: "/v1/models"})
	if reply.Status != 0 {
		s.writeReply(w, reply)
		return
	}
	fmt.Fprint(w, `{"data":[{"id":"test-model"}]}`)
}

// record records a call and returns its reply.
func (s *ModelServer) record(c RecordedCall) CannedReply {
	s.mu.Lock()
	c.Number = len(s.calls) + 1
	s.calls = append(s.calls, c)
	answer := s.answer
	s.mu.Unlock()
	if answer == nil {
		return CannedReply{Text: "ok"}
	}
	return answer(c)
}

// writeReply sends a response that is not an answer.
func (s *ModelServer) writeReply(w http.ResponseWriter, r CannedReply) {
	if r.RetryAfter != "" {
		w.Header().Set("Retry-After", r.RetryAfter)
	}
	w.WriteHeader(max(r.Status, http.StatusOK))
	fmt.Fprint(w, r.Body)
}

func (s *ModelServer) messages(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Model, System string
		MaxTokens     int `json:"max_tokens"`
		Messages      []struct{ Role, Content string }
		Tools         []struct {
			Name   string
			Schema json.RawMessage `json:"input_schema"`
		}
	}
	if json.NewDecoder(req.Body).Decode(&body) != nil || len(body.Messages) == 0 || body.MaxTokens == 0 || req.Header.Get("Anthropic-Version") == "" {
		http.Error(w, `{"type":"error","error":{"type":"invalid_request_error","message":"not the protocol"}}`, http.StatusBadRequest)
		return
	}
	c := RecordedCall{Path: req.URL.Path, Key: req.Header.Get("X-Api-Key"), System: body.System, Prompt: body.Messages[0].Content}
	if len(body.Tools) > 0 {
		c.Schema = body.Tools[0].Schema
	}
	r := s.record(c)
	out := &stream{w: w, closed: s.closed, req: req}
	if !s.beginStream(out, c, &r) {
		return
	}
	usage := func(in, n int) map[string]any { return map[string]any{"input_tokens": in, "output_tokens": n} }
	out.event("message_start", map[string]any{"type": "message_start", "message": map[string]any{"model": body.Model, "usage": usage(r.Input, 0)}})
	delta := func(piece string) any {
		d := map[string]any{"type": "text_delta", "text": piece}
		if c.Schema != nil {
			d = map[string]any{"type": "input_json_delta", "partial_json": piece}
		}
		return map[string]any{"type": "content_block_delta", "index": 0, "delta": d}
	}
	if !out.sendPieces(r, func(p string) { out.event("content_block_delta", delta(p)) }, func(m string) {
		out.event("error", map[string]any{"type": "error", "error": map[string]any{"type": "overloaded_error", "message": m}})
	}) {
		return
	}
	last := map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": firstNonEmpty(r.Stop, "end_turn")}}
	if !r.OmitUsage {
		last["usage"] = usage(0, r.Output)
	}
	out.event("message_delta", last)
	out.event("message_stop", map[string]any{"type": "message_stop"})
}

func (s *ModelServer) chat(w http.ResponseWriter, req *http.Request) {
	var body struct {
		Model    string
		Messages []struct{ Role, Content string }
		Format   *struct {
			Schema struct{ Schema json.RawMessage } `json:"json_schema"`
		} `json:"response_format"`
	}
	if json.NewDecoder(req.Body).Decode(&body) != nil || len(body.Messages) == 0 {
		http.Error(w, `{"error":{"message":"not the protocol"}}`, http.StatusBadRequest)
		return
	}
	c := RecordedCall{Path: req.URL.Path, Key: strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")}
	for _, m := range body.Messages {
		if m.Role == "system" {
			c.System = m.Content
		} else {
			c.Prompt = m.Content
		}
	}
	if body.Format != nil {
		c.Schema = body.Format.Schema.Schema
	}
	r := s.record(c)
	out := &stream{w: w, closed: s.closed, req: req}
	if !s.beginStream(out, c, &r) {
		return
	}
	chunk := func(content string, finish any) map[string]any {
		return map[string]any{"model": body.Model, "choices": []any{map[string]any{"index": 0, "delta": map[string]any{"content": content}, "finish_reason": finish}}}
	}
	if !out.sendPieces(r, func(p string) { out.event("", chunk(p, nil)) }, func(m string) {
		out.event("", map[string]any{"error": map[string]any{"message": m}})
	}) {
		return
	}
	out.event("", chunk("", firstNonEmpty(r.Stop, "stop")))
	if !r.OmitUsage {
		out.event("", map[string]any{"model": body.Model, "choices": []any{}, "usage": map[string]any{"prompt_tokens": r.Input, "completion_tokens": r.Output}})
	}
	out.write("data: [DONE]\n\n")
}

func firstNonEmpty(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// beginStream waits, then starts the stream or sends an error. It fills in the
// defaults of the reply.
func (s *ModelServer) beginStream(out *stream, c RecordedCall, r *CannedReply) bool {
	if !out.sleep(r.Delay) {
		return false
	}
	if r.Status != 0 && r.Status != http.StatusOK || r.Body != "" {
		s.writeReply(out.w, *r)
		return false
	}
	if r.Input == 0 {
		r.Input = len(c.System+c.Prompt)/4 + 1
	}
	if r.Output == 0 {
		r.Output = len(r.Text)/4 + 1
	}
	out.w.Header().Set("Content-Type", "text/event-stream")
	return true
}

// stream writes server-sent events.
type stream struct {
	w      http.ResponseWriter
	req    *http.Request
	closed chan struct{}
}

func (s *stream) write(text string) {
	fmt.Fprint(s.w, text)
	s.w.(http.Flusher).Flush()
}

func (s *stream) event(name string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("modeltest: " + err.Error())
	}
	if name != "" {
		name = "event: " + name + "\n"
	}
	s.write(name + "data: " + string(b) + "\n\n")
}

// sleep waits. It returns false when the client left or the server was closed.
func (s *stream) sleep(d time.Duration) bool {
	if d == 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.req.Context().Done():
	case <-s.closed:
	}
	return false
}

// sendPieces sends the text. It reports whether the answer is complete.
func (s *stream) sendPieces(r CannedReply, send, fail func(string)) bool {
	n := r.Pieces
	if n == 0 {
		n = 3
	}
	for i := range n {
		send(r.Text[len(r.Text)*i/n : len(r.Text)*(i+1)/n])
		switch {
		case r.DisconnectAfter == i+1:
			panic(http.ErrAbortHandler)
		case r.Stall:
			s.sleep(time.Hour)
			return false
		case r.StreamError != "":
			fail(r.StreamError)
			return false
		}
		if !s.sleep(r.PieceDelay) {
			return false
		}
	}
	return true
}
