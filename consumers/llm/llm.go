// Package llm is the interface to language models, and the HTTP that their protocols
// share. The protocols are in the packages below: anthropic and openai.
//
// It promises:
//
//   - A call returns a whole answer or an error. A stream that ends early, a body
//     that is not the protocol and an answer that reached its limit are errors, with
//     a class that tells whether to retry.
//   - A call ends with its context.
//   - At most [MaxAnswerBytes] of an answer are stored, whatever a server sends.
//   - A key is sent in a header to the configured address only. It is never part of
//     an error, and no redirect is followed.
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
	// MaxModelBytes bounds the name of a model, as the provider reports it.
	MaxModelBytes = 100
	// maxBodyBytes bounds the part of a response that is read.
	maxBodyBytes = 4 << 20
	// DefaultIdleTimeout is how long a server may send nothing within one call.
	DefaultIdleTimeout = 30 * time.Second
)

// CompletionRequest is one question.
type CompletionRequest struct {
	System    string          // how to answer
	Prompt    string          // the question, with its data
	Schema    json.RawMessage // JSON schema of the answer; nil for prose
	MaxTokens int             // of the answer
}

// Usage is the tokens of a call, as the provider counts them.
type Usage struct {
	Input  int `json:"input"`
	Output int `json:"output"`
}

// Completion is a whole answer.
type Completion struct {
	Text       string // prose, or JSON when the request has a schema
	Model      string // the provider's name for it
	Usage      Usage
	UsageKnown bool // the provider reported the usage
}

// Provider is one model behind one address. It is safe for concurrent use.
type Provider interface {
	Name() string
	Model() string
	// Complete asks the model. delta, which may be nil, receives the answer in parts
	// while it is streamed; they are valid only if Complete succeeds. Errors are of
	// type [CallError].
	Complete(ctx context.Context, r CompletionRequest, delta func(string)) (Completion, error)
	// Probe reports whether the provider would answer, without using tokens.
	Probe(ctx context.Context) error
}

// ErrorClass tells how to react to a failed call.
type ErrorClass string

// The classes. The strings are stored in events.
const (
	Unavailable  ErrorClass = "unavailable"   // not reached, overloaded, 5xx: retry
	RateLimited  ErrorClass = "rate-limited"  // 429: retry later
	TimedOut     ErrorClass = "timed-out"     // the server sent nothing for too long
	Truncated    ErrorClass = "cut-off"       // the stream ended early, or the answer reached its limit
	Malformed    ErrorClass = "garbage"       // not the protocol, or not the schema
	Refused      ErrorClass = "refused"       // the model declined
	Unauthorized ErrorClass = "unauthorized"  // the key is wrong or lacks a permission
	OutOfCredit  ErrorClass = "out-of-credit" // the account has no credit
	BadRequest   ErrorClass = "bad-request"   // the request is wrong for every provider
	TooLong      ErrorClass = "too-long"      // the prompt is too long for the model
	Cancelled    ErrorClass = "cancelled"     // the caller's context ended
)

// CallError is a failed call.
type CallError struct {
	Provider   string
	Class      ErrorClass
	Status     int           // HTTP status; 0 when there was none
	RetryAfter time.Duration // the wait that the server asked for; 0 when it asked for none
	Usage      Usage         // the tokens that the call used anyway, as far as known
	Err        error
}

func (e *CallError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s: %s (HTTP %d): %v", e.Provider, e.Class, e.Status, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Provider, e.Class, e.Err)
}

func (e *CallError) Unwrap() error { return e.Err }

// ClassOf returns the class of an error. An error that is not a [CallError] is
// Unavailable.
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

// Permanent reports whether a retry soon is pointless.
func (c ErrorClass) Permanent() bool { return c == Unauthorized || c == OutOfCredit }
