// Package llm speaks with language models: Anthropic's protocol, and OpenAI's,
// which most other servers speak, too (Moonshot, Ollama, llama.cpp, vLLM).
//
// It promises: an answer is whole or an error – a stream that stops early, a body
// that is not the protocol, and an answer that was cut at its limit are errors with
// a class that says what may be done about them; no call outlives its context; at
// most [MaxAnswerBytes] are kept, whatever a server sends; keys go into headers of
// the configured address only, never into errors, and no redirect is followed.
package llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Limits of one call.
const (
	// MaxAnswerBytes bounds the text of an answer.
	MaxAnswerBytes = 64 << 10
	// maxBodyBytes bounds what is read of one response.
	maxBodyBytes = 4 << 20
	// DefaultIdleTimeout is how long a server may be silent within one call.
	DefaultIdleTimeout = 30 * time.Second
)

// CompletionRequest is one question.
type CompletionRequest struct {
	System    string          // how to answer
	Prompt    string          // the question, with its data
	Schema    json.RawMessage // JSON schema the answer must have; nil for prose
	MaxTokens int             // of the answer
}

// Usage is what a call took, in tokens as the provider counts them.
type Usage struct {
	Input  int `json:"input"`
	Output int `json:"output"`
}

// Completion is a whole answer.
type Completion struct {
	Text  string // prose, or JSON when the request has a schema
	Model string // as the provider names it
	Usage Usage
	// UsageKnown is false when the provider did not say what the call took.
	UsageKnown bool
}

// Provider is one model behind one address. It is safe for concurrent use.
type Provider interface {
	Name() string
	Model() string
	// Complete asks. Parts of the answer are given to delta as they come, when it
	// is not nil; whether they were true is known at the end only. Errors are of
	// type [CallError].
	Complete(ctx context.Context, r CompletionRequest, delta func(string)) (Completion, error)
	// Probe finds out whether the provider would answer, without using tokens.
	Probe(ctx context.Context) error
}

// ErrorClass says what may be done about a failed call.
type ErrorClass string

// The classes.
const (
	Unavailable  ErrorClass = "unavailable"   // not reached, overloaded, 5xx: the same again may work
	RateLimited  ErrorClass = "rate-limited"  // 429: the same later
	TimedOut     ErrorClass = "timed-out"     // silent for too long
	Truncated    ErrorClass = "cut-off"       // the stream ended early, or the answer hit its limit
	Malformed    ErrorClass = "garbage"       // not the protocol, or not the schema
	Refused      ErrorClass = "refused"       // the model declined
	Unauthorized ErrorClass = "unauthorized"  // the key is wrong or may not
	OutOfCredit  ErrorClass = "out-of-credit" // the account is
	BadRequest   ErrorClass = "bad-request"   // we asked wrongly: nowhere better
	TooLong      ErrorClass = "too-long"      // the prompt is too long for the model
	Cancelled    ErrorClass = "cancelled"     // by whoever asked
)

// CallError is a failed call.
type CallError struct {
	Provider   string
	Class      ErrorClass
	Status     int           // of HTTP; 0 when there was none
	RetryAfter time.Duration // the server asked to wait as long; 0 when it did not
	Usage      Usage         // what it took nevertheless, as far as known
	Err        error
}

func (e *CallError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s: %s (HTTP %d): %v", e.Provider, e.Class, e.Status, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Provider, e.Class, e.Err)
}

func (e *CallError) Unwrap() error { return e.Err }

// ClassOf gives the class of an error; what is no [CallError] is Unavailable.
func ClassOf(err error) ErrorClass {
	var e *CallError
	if errors.As(err, &e) {
		return e.Class
	}
	return Unavailable
}

// Retryable reports whether the same call may be made again at the same provider.
func (c ErrorClass) Retryable() bool {
	return c == Unavailable || c == RateLimited || c == TimedOut || c == Truncated
}

// TryNextProvider reports whether another provider may do better.
func (c ErrorClass) TryNextProvider() bool { return c != Cancelled }

// Permanent reports whether trying again soon is pointless.
func (c ErrorClass) Permanent() bool { return c == Unauthorized || c == OutOfCredit }
