// Package router chooses the provider that answers a question, and enforces limits
// and the budget.
//
// It promises:
//
//   - Providers are tried in the order of their task's chain, each once, with at
//     most [Config.Retries] retries and one repair of an answer that does not fit its
//     schema. So n providers receive at most n·(Retries+2) calls.
//   - A circuit breaker keeps calls from a provider that keeps failing.
//   - The limits of requests and tokens hold across all callers.
//   - A call is made only if the budget covers its worst case.
//   - Every call is accounted for, failed ones too.
//
// The retry loop is written by hand. It records each attempt, repairs an answer once,
// and hands a long Retry-After to the circuit breaker; a backoff library would
// replace one line of it.
package router

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"cortex/consumers/llm"
	"cortex/events"
)

// Waits and retries.
const (
	// maxRateLimitWait bounds how long a question waits for one provider's limits.
	maxRateLimitWait = 20 * time.Second
	// initialBackoff is the longest delay before the first retry; it doubles.
	initialBackoff = 500 * time.Millisecond
	// DefaultRetries is the number of retries at one provider.
	DefaultRetries = 1
)

// PricedProvider is a provider with its limits and its price.
type PricedProvider struct {
	llm.Provider
	RPM, TPM int    // requests and tokens per minute; 0 is no limit
	Price    *Price // nil when the price is not configured
}

// Config configures a router.
type Config struct {
	Providers []PricedProvider
	// Chains are the names of providers by task, in order. A task without a chain
	// uses all providers, in the order of Providers.
	Chains  map[events.LLMTask][]string
	Budget  *Budget
	Retries int // 0 is DefaultRetries; a negative number is none
	Now     func() time.Time
}

// ProviderRouter asks providers. It is safe for concurrent use.
type ProviderRouter struct {
	cfg       Config
	providers map[string]*providerState
}

// providerState is one provider with its limiters and its circuit breaker.
type providerState struct {
	PricedProvider
	requestLimiter, tokenLimiter *rate.Limiter
	breaker                      breaker
}

// New returns a router.
func New(cfg Config) *ProviderRouter {
	if cfg.Retries == 0 {
		cfg.Retries = DefaultRetries
	}
	r := &ProviderRouter{cfg: cfg, providers: map[string]*providerState{}}
	for _, b := range cfg.Providers {
		l := &providerState{PricedProvider: b, breaker: breaker{now: cfg.Now}}
		if b.RPM > 0 {
			l.requestLimiter = rate.NewLimiter(rate.Limit(float64(b.RPM)/60), 1)
		}
		if b.TPM > 0 {
			l.tokenLimiter = rate.NewLimiter(rate.Limit(float64(b.TPM)/60), max(1, b.TPM/6))
		}
		r.providers[b.Name()] = l
	}
	return r
}

// AskRequest is one question.
type AskRequest struct {
	Task         events.LLMTask
	Request      llm.CompletionRequest
	OnlyProvider string             // use only this provider; "" uses the chain
	CheckAnswer  func(string) error // checks that the schema cannot express; nil for none
	OnDelta      func(Delta)        // optional
}

// Delta is a part of an answer while it is streamed.
type Delta struct {
	Text string `json:"text,omitempty"`
	// Restart discards the parts so far: another attempt follows.
	Restart bool `json:"restart,omitempty"`
}

// Attempt is one call, or the reason why it was not made.
type Attempt = events.LLMAttempt

// AskResult is the answer to a question, and the attempts to get one.
type AskResult struct {
	Answer   llm.Completion
	Provider string
	Attempts []Attempt
	Cost     int64 // micro-USD of all attempts
	Unpriced bool  // the price of an attempt is unknown
}

// Ask asks one provider after another until one answers. The result lists the
// attempts also when there is an error.
func (r *ProviderRouter) Ask(ctx context.Context, a AskRequest) (AskResult, error) {
	var res AskResult
	chain, err := r.chain(a)
	if err != nil {
		return res, err
	}
	var last error
	for _, l := range chain {
		answer, err := r.askProvider(ctx, l, a, &res)
		if err == nil {
			res.Answer, res.Provider = answer, l.Name()
			return res, nil
		}
		last = err
		if llm.ClassOf(err) == llm.Cancelled || ctx.Err() != nil {
			return res, err
		}
	}
	return res, last
}

// chain returns the providers of a task, each once.
func (r *ProviderRouter) chain(a AskRequest) ([]*providerState, error) {
	names := r.cfg.Chains[a.Task]
	if len(names) == 0 {
		for _, b := range r.cfg.Providers {
			names = append(names, b.Name())
		}
	}
	if a.OnlyProvider != "" {
		names = []string{a.OnlyProvider}
	}
	var out []*providerState
	for _, name := range names {
		l := r.providers[name]
		if l == nil {
			return nil, &events.Error{Op: "router.chain", Kind: events.ErrUsage, Subject: name, Err: errors.New("no provider of this name is configured"), Hint: "'cortex llm providers' lists the providers"}
		}
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	if len(out) == 0 {
		return nil, &events.Error{Op: "router.chain", Kind: events.ErrUnavailable, Err: errors.New("no provider is configured"), Hint: "see 'cortex llm providers'"}
	}
	return out, nil
}

// askProvider asks one provider, and retries where the error permits it.
func (r *ProviderRouter) askProvider(ctx context.Context, l *providerState, a AskRequest, res *AskResult) (llm.Completion, error) {
	repaired := false
	for again := 0; ; again++ {
		if len(res.Attempts) > 0 && a.OnDelta != nil {
			a.OnDelta(Delta{Restart: true})
		}
		answer, err := r.callOnce(ctx, l, a, res)
		if err == nil {
			return answer, nil
		}
		class := llm.ClassOf(err)
		var denied *events.Error
		switch {
		case errors.As(err, &denied), ctx.Err() != nil:
			return llm.Completion{}, err
		case class == llm.Malformed && a.CheckAnswer != nil && !repaired:
			repaired = true
			a.Request.Prompt += "\n\nThe last answer could not be used: " + events.SanitizeLine(errors.Unwrap(err).Error(), 300) + ". Answer again, in exactly the form asked for."
			again--
			continue
		case !class.Retryable() || again >= r.cfg.Retries || l.breaker.isOpen():
			return llm.Completion{}, err
		}
		if !waitBeforeRetry(ctx, l, err, again) {
			return llm.Completion{}, err
		}
	}
}

// waitBeforeRetry waits before a retry: as long as the server asks, or a random
// backoff. It reports whether to retry. A server that asks for a longer wait than
// maxRateLimitWait opens the circuit breaker instead.
func waitBeforeRetry(ctx context.Context, l *providerState, err error, again int) bool {
	wait := time.Duration(rand.Int64N(int64(initialBackoff << again)))
	var e *llm.CallError
	if errors.As(err, &e) && e.RetryAfter > 0 {
		wait = e.RetryAfter
	}
	if wait > maxRateLimitWait {
		l.breaker.backoff(wait)
		return false
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// callOnce makes one call within limits and budget, and accounts for it.
func (r *ProviderRouter) callOnce(ctx context.Context, l *providerState, a AskRequest, res *AskResult) (llm.Completion, error) {
	note := func(at Attempt) { res.Attempts = append(res.Attempts, at) }
	if !l.breaker.allow() {
		note(Attempt{Provider: l.Name(), Model: l.Model(), Class: string(circuitOpen)})
		return llm.Completion{}, &llm.CallError{Provider: l.Name(), Class: circuitOpen, Err: errors.New("it failed repeatedly and is not called for a while")}
	}
	settle, err := r.reserveBudget(l, a.Request)
	if err != nil {
		l.breaker.cancel()
		note(Attempt{Provider: l.Name(), Model: l.Model(), Class: string(budgetDenied)})
		return llm.Completion{}, err
	}
	estimate := estimateTokens(a.Request)
	if err := l.waitForRateLimit(ctx, estimate); err != nil {
		l.breaker.cancel()
		settle(0)
		note(Attempt{Provider: l.Name(), Model: l.Model(), Class: string(llm.ClassOf(err))})
		return llm.Completion{}, err
	}
	start := r.cfg.Now()
	answer, err := l.Complete(ctx, a.Request, deltaFunc(a))
	if err == nil && a.CheckAnswer != nil {
		if wrong := a.CheckAnswer(answer.Text); wrong != nil {
			err = &llm.CallError{Provider: l.Name(), Class: llm.Malformed, Usage: answer.Usage, Err: wrong}
		}
	}
	attempt := Attempt{Provider: l.Name(), Model: l.Model(), LatencyMs: r.cfg.Now().Sub(start).Milliseconds()}
	used, counted := answer.Usage, answer.UsageKnown
	var e *llm.CallError
	if errors.As(err, &e) {
		attempt.Class, attempt.Status = string(e.Class), e.Status
		used, counted = e.Usage, e.Usage != llm.Usage{} || e.Status != 0 // a call with an HTTP error costs nothing
	}
	attempt.InputTokens, attempt.OutputTokens, attempt.TokensReported = used.Input, used.Output, counted
	attempt.Cost, attempt.PriceKnown = l.costOf(a.Request, used, counted)
	settle(attempt.Cost)
	l.chargeExtraTokens(estimate, used)
	res.Cost += attempt.Cost
	res.Unpriced = res.Unpriced || !attempt.PriceKnown
	l.breaker.record(err)
	note(attempt)
	return answer, err
}

// Classes of attempts without a call. The strings are stored in events.
const (
	circuitOpen  llm.ErrorClass = "resting"
	budgetDenied llm.ErrorClass = "denied"
)

func deltaFunc(a AskRequest) func(string) {
	if a.OnDelta == nil {
		return nil
	}
	return func(text string) { a.OnDelta(Delta{Text: text}) }
}

// costOf returns the cost of a call. If the provider did not report its usage, the
// worst case is charged.
func (l *providerState) costOf(r llm.CompletionRequest, used llm.Usage, counted bool) (cost int64, priced bool) {
	if l.Price == nil {
		return 0, false
	}
	if !counted {
		used = llm.Usage{Input: max(used.Input, estimateInputTokens(r)), Output: max(used.Output, r.MaxTokens)}
	}
	return l.Price.Cost(used.Input, used.Output), true
}

// reserveBudget reserves the worst case of a call. settle replaces it by the cost.
func (r *ProviderRouter) reserveBudget(l *providerState, req llm.CompletionRequest) (settle func(int64), err error) {
	if r.cfg.Budget == nil {
		return func(int64) {}, nil
	}
	if l.Price == nil {
		if r.cfg.Budget.HasLimit() {
			return nil, &events.Error{Op: "router.reserveBudget", Kind: events.ErrDenied, Subject: l.Name(), Err: errors.New("there is a budget, but the price of this provider is not configured"), Hint: fmt.Sprintf("set CORTEX_LLM_%s_PRICE", EnvName(l.Name()))}
		}
		return func(int64) {}, nil
	}
	return r.cfg.Budget.Reserve(l.Price.Cost(estimateInputTokens(req), req.MaxTokens))
}

// estimateInputTokens estimates the tokens of a request, on the high side.
func estimateInputTokens(r llm.CompletionRequest) int {
	return (len(r.System)+len(r.Prompt)+len(r.Schema))/3 + 64
}

func estimateTokens(r llm.CompletionRequest) int { return estimateInputTokens(r) + r.MaxTokens/4 }

// waitForRateLimit waits until the limits of requests and tokens permit a call.
func (l *providerState) waitForRateLimit(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maxRateLimitWait, errRateLimited)
	defer cancel()
	var err error
	if l.requestLimiter != nil {
		err = l.requestLimiter.Wait(ctx)
	}
	for left := n; l.tokenLimiter != nil && left > 0 && err == nil; left -= l.tokenLimiter.Burst() {
		err = l.tokenLimiter.WaitN(ctx, min(left, l.tokenLimiter.Burst()))
	}
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return &llm.CallError{Provider: l.Name(), Class: llm.Cancelled, Err: ctx.Err()}
	}
	return &llm.CallError{Provider: l.Name(), Class: llm.RateLimited, Err: errRateLimited}
}

var errRateLimited = errors.New("the limit of requests or tokens per minute is reached")

// chargeExtraTokens charges the limiter for the tokens beyond the estimate.
func (l *providerState) chargeExtraTokens(estimate int, used llm.Usage) {
	if more := used.Input + used.Output - estimate; l.tokenLimiter != nil && more > 0 {
		l.tokenLimiter.ReserveN(time.Now(), min(more, l.tokenLimiter.Burst()))
	}
}

// ProviderHealth is the state of one provider.
type ProviderHealth struct {
	Name      string    `json:"name"`
	Model     string    `json:"model"`
	State     string    `json:"state"` // ok, resting (circuit open), trying (half-open)
	RetryAt   time.Time `json:"until,omitzero"`
	Failures  int       `json:"failures"` // in a row
	LastError string    `json:"last,omitempty"`
}

// Health returns the state of every provider, in order.
func (r *ProviderRouter) Health() []ProviderHealth {
	out := make([]ProviderHealth, 0, len(r.cfg.Providers))
	for _, b := range r.cfg.Providers {
		out = append(out, r.providers[b.Name()].breaker.health(b.Name(), b.Model()))
	}
	return out
}

// AnyAvailable reports whether any provider may be called now.
func (r *ProviderRouter) AnyAvailable() bool {
	for _, l := range r.providers {
		if !l.breaker.isOpen() {
			return true
		}
	}
	return false
}

// Probe probes all providers, or those whose circuit is open. A probe that succeeds
// lets the next call through.
func (r *ProviderRouter) Probe(ctx context.Context, all bool) map[string]error {
	out := map[string]error{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, l := range r.providers {
		if !all && !l.breaker.isOpen() {
			continue
		}
		wg.Go(func() {
			err := l.Provider.Probe(ctx)
			l.breaker.recordProbe(err)
			mu.Lock()
			defer mu.Unlock()
			out[name] = err
		})
	}
	wg.Wait()
	return out
}
