package events

import (
	"errors"
	"fmt"
)

// LLMAttempt is one call of a model, or the reason why none was made.
type LLMAttempt struct {
	Provider       string `json:"provider"`
	Model          string `json:"model"`
	Class          string `json:"class,omitempty"`  // of the failure; "" for an answer
	Status         int    `json:"status,omitempty"` // the HTTP status of a failure
	InputTokens    int    `json:"input_tokens,omitempty"`
	OutputTokens   int    `json:"output_tokens,omitempty"`
	TokensReported bool   `json:"counted,omitempty"` // the provider reported the tokens
	Cost           int64  `json:"cost_uusd,omitempty"`
	PriceKnown     bool   `json:"priced,omitempty"` // the price is known
	LatencyMs      int64  `json:"latency_ms,omitempty"`
}

// LLMRequested records that a model is about to be asked. It is appended before any
// data leave the machine.
type LLMRequested struct {
	Task         LLMTask `json:"task"`
	Question     string  `json:"question"`            // redacted
	PromptHash   string  `json:"prompt_hash"`         // SHA-256 of everything that is sent
	PromptBytes  int     `json:"prompt_b"`            // the size of it
	OnlyProvider string  `json:"provider,omitempty"`  // the only one that may answer
	Schema       string  `json:"schema,omitempty"`    // version of the answer's form
	ExactKey     string  `json:"exact_key,omitempty"` // the key of the answer in the cache
}

// LLMCompleted records an answer of a model or of the cache.
type LLMCompleted struct {
	Task         LLMTask      `json:"task"`
	Question     string       `json:"question"` // redacted
	PromptHash   string       `json:"prompt_hash"`
	Answer       string       `json:"answer"` // redacted, at most MaxLLMAnswerBytes
	Provider     string       `json:"provider"`
	Model        string       `json:"model"`
	Cache        string       `json:"cache,omitempty"` // exact, canonical; "" when a model was asked
	CachedFrom   ID           `json:"from,omitempty"`  // for a cached answer: the event that holds it
	Scope        string       `json:"scope,omitempty"` // what the answer depends on, as a hash
	ExactKey     string       `json:"exact_key,omitempty"`
	CanonicalKey string       `json:"canonical_key,omitempty"`
	Attempts     []LLMAttempt `json:"attempts,omitempty"`
	Cost         int64        `json:"cost_uusd"` // of all attempts
	Unpriced     bool         `json:"unpriced,omitempty"`
	LatencyMs    int64        `json:"latency_ms"`
}

// LLMFailed records that no model answered. The daemon also appends it at its start for
// a question that was not finished.
type LLMFailed struct {
	Task      LLMTask      `json:"task"`
	Class     string       `json:"class"`
	Reason    string       `json:"reason"`
	Attempts  []LLMAttempt `json:"attempts,omitempty"`
	Cost      int64        `json:"cost_uusd"`
	Unpriced  bool         `json:"unpriced,omitempty"`
	LatencyMs int64        `json:"latency_ms"`
}

// LLMDenied records that a question was not asked because the budget does not cover its
// worst case. Amounts are in micro-USD.
type LLMDenied struct {
	Task          LLMTask      `json:"task"`
	Reason        string       `json:"reason"`
	Period        string       `json:"period,omitempty"` // day, month; "" when a price is unknown
	Limit         int64        `json:"limit_uusd,omitempty"`
	Spent         int64        `json:"spent_uusd,omitempty"`
	EstimatedCost int64        `json:"would_uusd,omitempty"`
	Attempts      []LLMAttempt `json:"attempts,omitempty"`
	Cost          int64        `json:"cost_uusd,omitempty"` // of calls before the denial
}

// LLMMode is how well requests in words can be answered now.
type LLMMode string

// The modes, the best first.
const (
	ModeFull    LLMMode = "full"    // a model answers
	ModeCached  LLMMode = "cached"  // cached answers, and the package lists
	ModeOffline LLMMode = "offline" // the package lists only
	ModeNames   LLMMode = "names"   // package names only
)

// LLMModeChanged records that requests in words are answered better or worse from now
// on.
type LLMModeChanged struct {
	From   LLMMode `json:"from,omitempty"`
	To     LLMMode `json:"to"`
	Reason string  `json:"reason"`
}

// Kind implements [Fact].
func (*LLMRequested) Kind() Kind   { return KindLLMRequested }
func (*LLMCompleted) Kind() Kind   { return KindLLMCompleted }
func (*LLMFailed) Kind() Kind      { return KindLLMFailed }
func (*LLMDenied) Kind() Kind      { return KindLLMDenied }
func (*LLMModeChanged) Kind() Kind { return KindLLMModeChanged }

func (*LLMRequested) fact()         {}
func (*LLMRequested) standalone()   {}
func (*LLMCompleted) fact()         {}
func (*LLMCompleted) standalone()   {}
func (*LLMFailed) fact()            {}
func (*LLMFailed) standalone()      {}
func (*LLMDenied) fact()            {}
func (*LLMDenied) standalone()      {}
func (*LLMModeChanged) fact()       {}
func (*LLMModeChanged) standalone() {}

// Evidence is a piece of data of this machine that is relevant to a question.
type Evidence struct {
	Source string `json:"source"` // a path, a command or a read model
	Text   string `json:"text"`
}

// Question is a question to a model with all its context.
type Question struct {
	Task         LLMTask    `json:"task"`
	Text         string     `json:"text"`
	Machine      string     `json:"machine"`            // distribution and architecture, for people
	Needs        []Need     `json:"needs,omitempty"`    // candidates from the package lists
	Evidence     []Evidence `json:"evidence,omitempty"` // data of this machine
	OnlyProvider string     `json:"provider,omitempty"` // the only provider that may answer
	Scope        string     `json:"scope,omitempty"`    // what a cached answer depends on, as a hash; "" caches none
	CanonicalKey string     `json:"canonical_key,omitempty"`
}

// Validate checks the question against its limits.
func (q *Question) Validate() error {
	var errs []error
	switch q.Task {
	case TaskConversation, TaskInstall, TaskExplain, TaskDiagnose, TaskHardware:
	default:
		errs = append(errs, fmt.Errorf("unknown task %q", q.Task))
	}
	if q.Text == "" || len(q.Text) > MaxTextBytes {
		errs = append(errs, fmt.Errorf("the question has %d bytes, 1 to %d are allowed", len(q.Text), MaxTextBytes))
	}
	if len(q.Needs) > MaxNeeds {
		errs = append(errs, fmt.Errorf("%d needs; at most %d are allowed", len(q.Needs), MaxNeeds))
	}
	for _, n := range q.Needs {
		if len(n.Candidates) > MaxCandidates {
			errs = append(errs, fmt.Errorf("%d candidates; at most %d are allowed", len(n.Candidates), MaxCandidates))
		}
	}
	total := 0
	for _, e := range q.Evidence {
		total += len(e.Source) + len(e.Text)
	}
	if total > MaxEvidenceBytes {
		errs = append(errs, fmt.Errorf("the evidence has %d bytes; at most %d are allowed", total, MaxEvidenceBytes))
	}
	if len(q.OnlyProvider) > 64 || len(q.Scope) > 64 || len(q.CanonicalKey) > 128 || len(q.Machine) > 256 {
		errs = append(errs, errors.New("a name or a key is too long"))
	}
	if err := errors.Join(errs...); err != nil {
		return &Error{Op: "events.Question.Validate", Kind: ErrUsage, Err: err}
	}
	return nil
}

// Reply is an answer with its origin.
type Reply struct {
	Mode     LLMMode `json:"mode"`
	EventID  ID      `json:"event,omitempty"` // that holds the answer
	Text     string  `json:"text"`            // prose; JSON of needs for TaskInstall
	Provider string  `json:"provider,omitempty"`
	Model    string  `json:"model,omitempty"`
	Cache    string  `json:"cache,omitempty"`
	Cost     int64   `json:"cost_uusd"`
	Unpriced bool    `json:"unpriced,omitempty"`
}
