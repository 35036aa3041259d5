package router_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cortex/consumers/llm"
	"cortex/consumers/llm/router"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a provider whose calls return the results of a script; the last one
// repeats.
type scripted struct {
	name   string
	took   time.Duration
	script []error
	text   string
	usage  llm.Usage

	mu    sync.Mutex
	calls []time.Time
	seen  []llm.CompletionRequest
}

func (s *scripted) Name() string  { return s.name }
func (s *scripted) Model() string { return s.name + "-model" }

func (s *scripted) Complete(ctx context.Context, r llm.CompletionRequest, delta func(string)) (llm.Completion, error) {
	s.mu.Lock()
	n := len(s.calls)
	s.calls = append(s.calls, time.Now())
	s.seen = append(s.seen, r)
	s.mu.Unlock()
	select {
	case <-time.After(s.took):
	case <-ctx.Done():
		return llm.Completion{}, &llm.CallError{Provider: s.name, Class: llm.Cancelled, Err: ctx.Err()}
	}
	var err error
	if len(s.script) > 0 {
		err = s.script[min(n, len(s.script)-1)]
	}
	if err != nil {
		return llm.Completion{}, err
	}
	if delta != nil {
		delta(s.text)
	}
	return llm.Completion{Text: s.text, Model: s.Model(), Usage: s.usage, UsageKnown: true}, nil
}

func (s *scripted) Probe(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.script) > 0 {
		return s.script[len(s.script)-1]
	}
	return nil
}

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

func class(c llm.ErrorClass) error { return &llm.CallError{Class: c, Err: errors.New(string(c))} }

func newRouter(backends ...router.PricedProvider) *router.ProviderRouter {
	return router.New(router.Config{Providers: backends, Now: time.Now})
}

func ask(r *router.ProviderRouter) (router.AskResult, error) {
	return r.Ask(context.Background(), router.AskRequest{Task: events.TaskConversation, Request: llm.CompletionRequest{Prompt: "q", MaxTokens: 100}})
}

func TestAskBoundsCallsWhenAllFail(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		classes := []llm.ErrorClass{llm.Unavailable, llm.RateLimited, llm.TimedOut, llm.Truncated, llm.Malformed, llm.Refused, llm.Unauthorized, llm.OutOfCredit, llm.BadRequest, llm.TooLong}
		n := rapid.IntRange(1, 5).Draw(rt, "providers")
		var ps []*scripted
		var bs []router.PricedProvider
		for i := range n {
			p := &scripted{name: fmt.Sprint("p", i), script: []error{class(rapid.SampledFrom(classes).Draw(rt, "class")), class(rapid.SampledFrom(classes).Draw(rt, "class"))}}
			ps, bs = append(ps, p), append(bs, router.PricedProvider{Provider: p})
		}
		synctest.Test(t, func(*testing.T) {
			res, err := ask(newRouter(bs...))
			if err == nil {
				rt.Fatal("a provider answered")
			}
			total := 0
			for _, p := range ps {
				if c := p.count(); c < 1 || c > 1+router.DefaultRetries {
					rt.Errorf("%s was called %d times", p.name, c)
				}
				total += p.count()
			}
			if len(res.Attempts) != total {
				rt.Errorf("%d recorded attempts of %d calls", len(res.Attempts), total)
			}
		})
	})
}

func TestNextProviderAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := &scripted{name: "bad", script: []error{class(llm.Unavailable)}}
		good := &scripted{name: "good", text: "yes"}
		var restarts int
		r := newRouter(router.PricedProvider{Provider: bad}, router.PricedProvider{Provider: good})
		res, err := r.Ask(t.Context(), router.AskRequest{Request: llm.CompletionRequest{Prompt: "q"}, OnDelta: func(d router.Delta) {
			if d.Restart {
				restarts++
			}
		}})
		if err != nil || res.Provider != "good" || res.Answer.Text != "yes" || bad.count() != 2 || restarts != 2 {
			t.Errorf("%+v, %v; %d calls, %d restarts", res, err, bad.count(), restarts)
		}
	})
}

func TestChainWithDuplicateProvider(t *testing.T) {
	p := &scripted{name: "a", script: []error{class(llm.BadRequest)}}
	r := router.New(router.Config{Providers: []router.PricedProvider{{Provider: p}}, Chains: map[events.LLMTask][]string{events.TaskInstall: {"a", "a", "a"}}, Now: time.Now})
	if _, err := r.Ask(t.Context(), router.AskRequest{Task: events.TaskInstall}); err == nil || p.count() != 1 {
		t.Errorf("%v after %d calls", err, p.count())
	}
	if _, err := r.Ask(t.Context(), router.AskRequest{OnlyProvider: "nonesuch"}); !errors.Is(err, events.ErrUsage) {
		t.Errorf("%v", err)
	}
}

func TestRetryAfterIsRespected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{name: "a", text: "ok", script: []error{&llm.CallError{Class: llm.RateLimited, RetryAfter: 7 * time.Second, Err: errors.New("x")}, nil}}
		if _, err := ask(newRouter(router.PricedProvider{Provider: p})); err != nil {
			t.Fatal(err)
		}
		if d := p.calls[1].Sub(p.calls[0]); d != 7*time.Second {
			t.Errorf("it was called again after %s", d)
		}
		long := &scripted{name: "b", script: []error{&llm.CallError{Class: llm.RateLimited, RetryAfter: 5 * time.Minute, Err: errors.New("x")}}}
		r := newRouter(router.PricedProvider{Provider: long}, router.PricedProvider{Provider: &scripted{name: "c"}})
		for range 3 {
			if res, err := ask(r); err != nil || res.Provider != "c" {
				t.Errorf("%+v, %v", res, err)
			}
		}
		if long.count() != 1 {
			t.Errorf("it was called %d times within the Retry-After", long.count())
		}
	})
}

func TestRequestsPerMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{name: "a"}
		r := newRouter(router.PricedProvider{Provider: p, RPM: 300})
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() {
				if _, err := ask(r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for i := 5; i < len(p.calls); i++ {
			if d := p.calls[i].Sub(p.calls[i-5]); d < time.Second-time.Millisecond {
				t.Errorf("calls %d to %d came within %s", i-5, i, d)
			}
		}
		if took := p.calls[39].Sub(p.calls[0]); took > 8*time.Second {
			t.Errorf("40 calls took %s", took)
		}
	})
}

func TestTokensPerMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{name: "a", usage: llm.Usage{Input: 80, Output: 20}}
		r := newRouter(router.PricedProvider{Provider: p, TPM: 600})
		start := time.Now()
		for range 10 {
			if _, err := ask(r); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took < 70*time.Second {
			t.Errorf("1,000 tokens at 600 a minute took %s", took)
		}
	})
}

func TestCircuitOpensAfterFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{name: "a", script: []error{class(llm.Unavailable), class(llm.Unavailable), class(llm.Unavailable), nil}}
		r := newRouter(router.PricedProvider{Provider: p})
		for range 5 {
			_, _ = ask(r)
		}
		if p.count() != 3 || r.AnyAvailable() || r.Health()[0].State != "resting" {
			t.Errorf("%d calls, %+v", p.count(), r.Health())
		}
		time.Sleep(16 * time.Second)
		p.took = time.Second
		var answered, refused atomic.Int64
		var wg sync.WaitGroup
		for range 10 { // one of them finds out
			wg.Go(func() {
				if _, err := ask(r); err == nil {
					answered.Add(1)
				} else {
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if answered.Load() != 1 || refused.Load() != 9 || r.Health()[0].State != "ok" {
			t.Errorf("%d answered, %d refused, %+v", answered.Load(), refused.Load(), r.Health())
		}
	})
}

func TestProbeClosesCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &scripted{name: "a", script: []error{class(llm.Unauthorized)}}
		r := newRouter(router.PricedProvider{Provider: p})
		_, _ = ask(r)
		if _, err := ask(r); err == nil || p.count() != 1 || r.AnyAvailable() {
			t.Errorf("a wrong key was tried %d times", p.count())
		}
		if r.Probe(t.Context(), false)["a"] == nil || r.AnyAvailable() {
			t.Error("a failed probe closed the circuit")
		}
		p.mu.Lock()
		p.script = nil
		p.mu.Unlock()
		if err := r.Probe(t.Context(), false)["a"]; err != nil || !r.AnyAvailable() {
			t.Errorf("a successful probe did not close the circuit: %v", err)
		}
		if _, err := ask(r); err != nil {
			t.Error(err)
		}
	})
}

func TestInvalidAnswerIsRepairedOnce(t *testing.T) {
	for _, right := range []bool{true, false} {
		p := &scripted{name: "a", text: "{}"}
		n := 0
		_, err := newRouter(router.PricedProvider{Provider: p}).Ask(t.Context(), router.AskRequest{Request: llm.CompletionRequest{Prompt: "q"}, CheckAnswer: func(string) error {
			if n++; n == 2 && right {
				return nil
			}
			return errors.New("no needs\x1b[2J in it")
		}})
		if (err == nil) != right || p.count() != 2 {
			t.Errorf("%v after %d calls", err, p.count())
		}
		if got := p.seen[1].Prompt; got != "q\n\nThe last answer could not be used: no needs [2J in it. Answer again, in exactly the form asked for." {
			t.Errorf("%q", got)
		}
	}
}

func TestBudgetCoversWorstCase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		price := &router.Price{Input: 0, Output: 1_000_000} // a micro-dollar a token
		b := router.NewBudget(1000, 0, time.Now)
		p := &scripted{name: "a", took: time.Second, usage: llm.Usage{Output: 60}}
		r := router.New(router.Config{Providers: []router.PricedProvider{{Provider: p, Price: price}}, Budget: b, Now: time.Now})
		var wg sync.WaitGroup
		var denied atomic.Int64
		for range 20 { // 100 each at worst: ten at a time
			wg.Go(func() {
				_, err := ask(r)
				if e, ok := router.AsBudgetExceeded(err); ok && errors.Is(err, events.ErrDenied) && e.Limit == 1000 {
					denied.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if p.count() != 10 || denied.Load() != 10 {
			t.Errorf("%d calls, %d denied", p.count(), denied.Load())
		}
		for range 6 { // 600 are spent; six of 60 fit, with 100 at worst each
			if _, err := ask(r); err != nil {
				t.Error(err)
			}
		}
		if res, err := ask(r); !errors.Is(err, events.ErrDenied) || res.Cost != 0 {
			t.Errorf("%+v, %v", res, err)
		}
		time.Sleep(25 * time.Hour)
		if _, err := ask(r); err != nil {
			t.Errorf("the next day: %v", err)
		}
	})
}

func TestUnknownPrice(t *testing.T) {
	p := &scripted{name: "a", usage: llm.Usage{Input: 9, Output: 9}}
	r := router.New(router.Config{Providers: []router.PricedProvider{{Provider: p}}, Budget: router.NewBudget(0, 0, time.Now), Now: time.Now})
	if res, err := ask(r); err != nil || !res.Unpriced || res.Cost != 0 || res.Attempts[0].PriceKnown {
		t.Errorf("%+v, %v", res, err)
	}
	limited := router.New(router.Config{Providers: []router.PricedProvider{{Provider: p}}, Budget: router.NewBudget(1, 0, time.Now), Now: time.Now})
	if _, err := ask(limited); !errors.Is(err, events.ErrDenied) {
		t.Errorf("%v", err)
	}
}

func TestParseUSDIsExact(t *testing.T) {
	for text, want := range map[string]int64{"3": 3_000_000, "0.25": 250_000, "$1.000001": 1_000_001, "0": 0} {
		if got, err := router.ParseUSD(text); err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1.0000001", "1e9", ".5", "NaN", "99999999999"} {
		if got, err := router.ParseUSD(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
	p, err := router.ParsePrice("3/15")
	if err != nil || p.Cost(1000, 200) != 6000 || p.Cost(1, 0) != 3 || (router.Price{Input: 1}).Cost(1, 0) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}
