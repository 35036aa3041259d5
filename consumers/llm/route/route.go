// Package route decides which provider answers a question, and what that may cost.
//
// It promises: providers are tried in the order of their task's chain, each once,
// with at most [Config.Retries] repetitions and one repair of an answer that does
// not fit its schema, so that n providers see at most n·(Retries+2) calls whatever
// happens; a provider that keeps failing is left alone for a while; limits of
// requests and tokens are kept across all callers; no call is made whose worst case
// the budget does not cover; and every call is accounted for, failed ones, too.
package route

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

// Limits of patience.
const (
	// maxWait bounds how long a question waits for one provider's limits.
	maxWait = 20 * time.Second
	// firstPause is the longest pause before the first repetition; it doubles.
	firstPause = 500 * time.Millisecond
	// DefaultRetries is how often one provider is asked again.
	DefaultRetries = 1
)

// Backend is a provider and how it may be used.
type Backend struct {
	llm.Provider
	RPM, TPM int    // requests and tokens per minute; 0 is no limit
	Price    *Price // nil when nobody said
}

// Config is what a router works with.
type Config struct {
	Backends []Backend
	// Chains are the names of providers by task, in order; a task without one uses
	// all, in the order of Backends.
	Chains  map[events.Task][]string
	Budget  *Budget
	Retries int // 0 is DefaultRetries, less is none
	Now     func() time.Time
}

// Router asks providers. It is safe for concurrent use.
type Router struct {
	cfg   Config
	lines map[string]*line
}

// line is what is known of one backend.
type line struct {
	Backend
	requests, tokens *rate.Limiter
	breaker          breaker
}

// New returns a router.
func New(cfg Config) *Router {
	if cfg.Retries == 0 {
		cfg.Retries = DefaultRetries
	}
	r := &Router{cfg: cfg, lines: map[string]*line{}}
	for _, b := range cfg.Backends {
		l := &line{Backend: b, breaker: breaker{now: cfg.Now}}
		if b.RPM > 0 {
			l.requests = rate.NewLimiter(rate.Limit(float64(b.RPM)/60), 1)
		}
		if b.TPM > 0 {
			l.tokens = rate.NewLimiter(rate.Limit(float64(b.TPM)/60), max(1, b.TPM/6))
		}
		r.lines[b.Name()] = l
	}
	return r
}

// Ask is one question.
type Ask struct {
	Task    events.Task
	Request llm.Request
	Only    string             // this provider and no other; "" for the chain
	Check   func(string) error // what the schema cannot say; nil for none
	Delta   func(Delta)        // optional
}

// Delta is a part of an answer while it comes.
type Delta struct {
	Text string `json:"text,omitempty"`
	// Restart says that what came so far is void: somebody else answers.
	Restart bool `json:"restart,omitempty"`
}

// Attempt is one call, or why none was made.
type Attempt = events.LLMAttempt

// Result is how a question was answered, or not.
type Result struct {
	Answer   llm.Answer
	Provider string
	Attempts []Attempt
	Cost     int64 // micro-USD of all attempts
	Unpriced bool  // an attempt's price is not known
}

// Do asks until somebody answers. The result tells of the attempts with an error,
// too.
func (r *Router) Do(ctx context.Context, a Ask) (Result, error) {
	var res Result
	chain, err := r.chain(a)
	if err != nil {
		return res, err
	}
	var last error
	for _, l := range chain {
		answer, err := r.try(ctx, l, a, &res)
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

// chain gives the lines of a task, each once.
func (r *Router) chain(a Ask) ([]*line, error) {
	names := r.cfg.Chains[a.Task]
	if len(names) == 0 {
		for _, b := range r.cfg.Backends {
			names = append(names, b.Name())
		}
	}
	if a.Only != "" {
		names = []string{a.Only}
	}
	var out []*line
	for _, name := range names {
		l := r.lines[name]
		if l == nil {
			return nil, &events.Error{Op: "route.chain", Kind: events.ErrUsage, Subject: name, Err: errors.New("no such provider is set up"), Hint: "'cortex llm providers' lists them"}
		}
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	if len(out) == 0 {
		return nil, &events.Error{Op: "route.chain", Kind: events.ErrUnavailable, Err: errors.New("no provider is set up"), Hint: "'cortex llm providers' tells how"}
	}
	return out, nil
}

// try asks one provider, again where that is sensible.
func (r *Router) try(ctx context.Context, l *line, a Ask, res *Result) (llm.Answer, error) {
	repaired := false
	for again := 0; ; again++ {
		if len(res.Attempts) > 0 && a.Delta != nil {
			a.Delta(Delta{Restart: true})
		}
		answer, err := r.call(ctx, l, a, res)
		if err == nil {
			return answer, nil
		}
		class := llm.ClassOf(err)
		var denied *events.Error
		switch {
		case errors.As(err, &denied), ctx.Err() != nil:
			return llm.Answer{}, err
		case class == llm.Garbage && a.Check != nil && !repaired:
			repaired = true
			a.Request.Prompt += "\n\nThe last answer could not be used: " + events.Line(errors.Unwrap(err).Error(), 300) + ". Answer again, in exactly the form asked for."
			again--
			continue
		case !class.Again() || again >= r.cfg.Retries || l.breaker.open():
			return llm.Answer{}, err
		}
		if !rest(ctx, l, err, again) {
			return llm.Answer{}, err
		}
	}
}

// rest waits before a repetition: as long as the server asks, or a random while.
// It reports whether repeating is sensible.
func rest(ctx context.Context, l *line, err error, again int) bool {
	wait := time.Duration(rand.Int64N(int64(firstPause << again)))
	var e *llm.Error
	if errors.As(err, &e) && e.After > 0 {
		wait = e.After
	}
	if wait > maxWait {
		l.breaker.rest(wait)
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

// call makes one call, with its limits, its budget and its account.
func (r *Router) call(ctx context.Context, l *line, a Ask, res *Result) (llm.Answer, error) {
	note := func(at Attempt) { res.Attempts = append(res.Attempts, at) }
	if !l.breaker.enter() {
		note(Attempt{Provider: l.Name(), Model: l.Model(), Class: string(resting)})
		return llm.Answer{}, &llm.Error{Provider: l.Name(), Class: resting, Err: errors.New("it failed too often lately and is left alone for a while")}
	}
	settle, err := r.reserve(l, a.Request)
	if err != nil {
		l.breaker.leave()
		note(Attempt{Provider: l.Name(), Model: l.Model(), Class: string(denied)})
		return llm.Answer{}, err
	}
	estimate := tokens(a.Request)
	if err := l.wait(ctx, estimate); err != nil {
		l.breaker.leave()
		settle(0)
		note(Attempt{Provider: l.Name(), Model: l.Model(), Class: string(llm.ClassOf(err))})
		return llm.Answer{}, err
	}
	start := r.cfg.Now()
	answer, err := l.Complete(ctx, a.Request, streamTo(a))
	if err == nil && a.Check != nil {
		if wrong := a.Check(answer.Text); wrong != nil {
			err = &llm.Error{Provider: l.Name(), Class: llm.Garbage, Usage: answer.Usage, Err: wrong}
		}
	}
	at := Attempt{Provider: l.Name(), Model: l.Model(), LatencyMs: r.cfg.Now().Sub(start).Milliseconds()}
	used, counted := answer.Usage, answer.Counted
	var e *llm.Error
	if errors.As(err, &e) {
		at.Class, at.Status = string(e.Class), e.Status
		used, counted = e.Usage, e.Usage != llm.Usage{} || e.Status != 0 // a refusal costs nothing
	}
	at.Input, at.Output, at.Counted = used.Input, used.Output, counted
	at.Cost, at.Priced = l.charge(a.Request, used, counted)
	settle(at.Cost)
	l.settle(estimate, used)
	res.Cost += at.Cost
	res.Unpriced = res.Unpriced || !at.Priced
	l.breaker.judge(err)
	note(at)
	return answer, err
}

// Classes of attempts that were no calls.
const (
	resting llm.Class = "resting"
	denied  llm.Class = "denied"
)

func streamTo(a Ask) func(string) {
	if a.Delta == nil {
		return nil
	}
	return func(text string) { a.Delta(Delta{Text: text}) }
}

// charge says what a call cost. When the provider did not tell what it took, the
// worst case is charged: money that may be gone is gone.
func (l *line) charge(r llm.Request, used llm.Usage, counted bool) (cost int64, priced bool) {
	if l.Price == nil {
		return 0, false
	}
	if !counted {
		used = llm.Usage{Input: max(used.Input, inputTokens(r)), Output: max(used.Output, r.MaxTokens)}
	}
	return l.Price.Cost(used.Input, used.Output), true
}

// reserve keeps the worst case of a call from being spent twice.
func (r *Router) reserve(l *line, req llm.Request) (settle func(int64), err error) {
	if r.cfg.Budget == nil {
		return func(int64) {}, nil
	}
	if l.Price == nil {
		if r.cfg.Budget.Limited() {
			return nil, &events.Error{Op: "route.reserve", Kind: events.ErrDenied, Subject: l.Name(), Err: errors.New("there is a budget, and nobody said what this provider costs"), Hint: fmt.Sprintf("set CORTEX_LLM_%s_PRICE", EnvName(l.Name()))}
		}
		return func(int64) {}, nil
	}
	return r.cfg.Budget.Reserve(l.Price.Cost(inputTokens(req), req.MaxTokens))
}

// inputTokens guesses, on the high side, how many tokens a request has.
func inputTokens(r llm.Request) int { return (len(r.System)+len(r.Prompt)+len(r.Schema))/3 + 64 }

func tokens(r llm.Request) int { return inputTokens(r) + r.MaxTokens/4 }

// wait waits for the limits of requests and tokens.
func (l *line) wait(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maxWait, errBusy)
	defer cancel()
	var err error
	if l.requests != nil {
		err = l.requests.Wait(ctx)
	}
	for left := n; l.tokens != nil && left > 0 && err == nil; left -= l.tokens.Burst() {
		err = l.tokens.WaitN(ctx, min(left, l.tokens.Burst()))
	}
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return &llm.Error{Provider: l.Name(), Class: llm.Cancelled, Err: ctx.Err()}
	}
	return &llm.Error{Provider: l.Name(), Class: llm.RateLimited, Err: errBusy}
}

var errBusy = errors.New("its limit of requests or tokens per minute is used up")

// settle takes from the limit of tokens what a call took beyond the estimate.
func (l *line) settle(estimate int, used llm.Usage) {
	if more := used.Input + used.Output - estimate; l.tokens != nil && more > 0 {
		l.tokens.ReserveN(time.Now(), min(more, l.tokens.Burst()))
	}
}

// Health is how one provider is.
type Health struct {
	Name     string    `json:"name"`
	Model    string    `json:"model"`
	State    string    `json:"state"` // ok, resting, trying
	Until    time.Time `json:"until,omitzero"`
	Failures int       `json:"failures"` // in a row
	Last     string    `json:"last,omitempty"`
}

// Health tells how every provider is, in order.
func (r *Router) Health() []Health {
	out := make([]Health, 0, len(r.cfg.Backends))
	for _, b := range r.cfg.Backends {
		out = append(out, r.lines[b.Name()].breaker.health(b.Name(), b.Model()))
	}
	return out
}

// Usable reports whether any provider may be asked now.
func (r *Router) Usable() bool {
	for _, l := range r.lines {
		if !l.breaker.open() {
			return true
		}
	}
	return false
}

// Probe finds out whether the providers would answer: all, or those that rest. One
// that would is asked again from now on.
func (r *Router) Probe(ctx context.Context, all bool) map[string]error {
	out := map[string]error{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, l := range r.lines {
		if !all && !l.breaker.open() {
			continue
		}
		wg.Go(func() {
			err := l.Provider.Probe(ctx)
			l.breaker.probed(err)
			mu.Lock()
			defer mu.Unlock()
			out[name] = err
		})
	}
	wg.Wait()
	return out
}
