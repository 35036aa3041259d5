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
	// DefaultPatience is how long a server may be silent within one call.
	DefaultPatience = 30 * time.Second
)

// Request is one question.
type Request struct {
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

// Answer is a whole answer.
type Answer struct {
	Text  string // prose, or JSON when the request has a schema
	Model string // as the provider names it
	Usage Usage
	// Counted is false when the provider did not say what the call took.
	Counted bool
}

// Provider is one model behind one address. It is safe for concurrent use.
type Provider interface {
	Name() string
	Model() string
	// Complete asks. Parts of the answer are given to delta as they come, when it
	// is not nil; whether they were true is known at the end only. Errors are of
	// type [Error].
	Complete(ctx context.Context, r Request, delta func(string)) (Answer, error)
	// Probe finds out whether the provider would answer, without using tokens.
	Probe(ctx context.Context) error
}

// Class says what may be done about a failed call.
type Class string

// The classes.
const (
	Unavailable  Class = "unavailable"   // not reached, overloaded, 5xx: the same again may work
	RateLimited  Class = "rate-limited"  // 429: the same later
	TimedOut     Class = "timed-out"     // silent for too long
	CutOff       Class = "cut-off"       // the stream ended early, or the answer hit its limit
	Garbage      Class = "garbage"       // not the protocol, or not the schema
	Refused      Class = "refused"       // the model declined
	Unauthorized Class = "unauthorized"  // the key is wrong or may not
	OutOfCredit  Class = "out-of-credit" // the account is
	BadRequest   Class = "bad-request"   // we asked wrongly: nowhere better
	TooLong      Class = "too-long"      // the prompt is too long for the model
	Cancelled    Class = "cancelled"     // by whoever asked
)

// Error is a failed call.
type Error struct {
	Provider string
	Class    Class
	Status   int           // of HTTP; 0 when there was none
	After    time.Duration // the server asked to wait as long; 0 when it did not
	Usage    Usage         // what it took nevertheless, as far as known
	Err      error
}

func (e *Error) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s: %s (HTTP %d): %v", e.Provider, e.Class, e.Status, e.Err)
	}
	return fmt.Sprintf("%s: %s: %v", e.Provider, e.Class, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf gives the class of an error; what is no [Error] is Unavailable.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Unavailable
}

// Again reports whether the same call may be made again at the same provider.
func (c Class) Again() bool {
	return c == Unavailable || c == RateLimited || c == TimedOut || c == CutOff
}

// Elsewhere reports whether another provider may do better.
func (c Class) Elsewhere() bool { return c != Cancelled }

// Lasting reports whether trying again soon is pointless.
func (c Class) Lasting() bool { return c == Unauthorized || c == OutOfCredit }
