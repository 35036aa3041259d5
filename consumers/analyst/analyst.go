// Package analyst puts questions to models and keeps account of it.
//
// It promises: before anything leaves the machine it is on record that it will, and
// afterwards what came of it – an answer, a failure, a denial – with every call, its
// tokens and its cost; a question whose end nobody saw is recorded as failed at the
// next start; what is written down and sent has no secrets that are known by their
// form; an answer that was kept is used only where its scope and key are equal, and
// after it was checked anew; and a model's answer is data: it runs nothing.
package analyst

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cortex/consumers/llm"
	"cortex/consumers/llm/route"
	"cortex/consumers/scribe"
	"cortex/events"
)

// probeEvery is how often a provider that rests is looked at.
const probeEvery = 15 * time.Second

// Kept is an answer that was given before.
type Kept struct {
	Event  events.ID
	Answer string
	Model  string
	How    string // exact or canonical
}

// Cache finds answers again.
type Cache interface {
	Find(ctx context.Context, scope, exact, canon string) (Kept, bool, error)
	Empty(ctx context.Context) bool
}

// Config says what an analyst works with.
type Config struct {
	Router  func() *route.Router // nil when no provider is set up
	Budget  *route.Budget
	Cache   Cache
	Indexed func() bool // the package lists can be searched
	Now     func() time.Time
	Report  func(error) // of what is to be recorded later
}

// Analyst asks. It is safe for concurrent use.
type Analyst struct {
	scribe *scribe.Scribe
	cfg    Config

	mu   sync.Mutex
	mode events.Mode // on record
}

// New returns an analyst.
func New(s *scribe.Scribe, cfg Config) *Analyst { return &Analyst{scribe: s, cfg: cfg} }

// Run settles what an earlier daemon left, then looks after providers that rest.
func (a *Analyst) Run(ctx context.Context) error {
	if err := a.restore(ctx); err != nil {
		return err
	}
	for {
		t := time.NewTimer(probeEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		r := a.cfg.Router()
		if r == nil || r.Usable() {
			continue
		}
		probe, cancel := context.WithTimeout(ctx, probeEvery)
		r.Probe(probe, false)
		cancel()
		if err := a.shift(ctx, "a provider was looked at"); err != nil && ctx.Err() == nil {
			a.cfg.Report(err)
		}
	}
}

// restore reads what was spent this month and ends questions without an end.
func (a *Analyst) restore(ctx context.Context) error {
	log := a.scribe.Log
	host := log.Host()
	open := map[events.ID]events.Record{}
	var order []events.ID
	q := events.Query{Filters: []string{
		events.KindFilter(host, events.KindLLMRequested), events.KindFilter(host, events.KindLLMCompleted), events.KindFilter(host, events.KindLLMFailed),
		events.KindFilter(host, events.KindLLMDenied), events.KindFilter(host, events.KindLLMModeChanged),
	}}
	for r, err := range log.Read(ctx, q) {
		if err != nil {
			return err
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case *events.LLMRequested:
			open[r.ID] = r
			order = append(order, r.ID)
		case *events.LLMCompleted:
			delete(open, r.Causation)
			a.spent(r.Time, f.Cost)
		case *events.LLMFailed:
			delete(open, r.Causation)
			a.spent(r.Time, f.Cost)
		case *events.LLMDenied:
			delete(open, r.Causation)
			a.spent(r.Time, f.Cost)
		case *events.LLMModeChanged:
			a.mode = f.To
		}
	}
	for _, id := range order {
		r, ok := open[id]
		if !ok {
			continue
		}
		f := &events.LLMFailed{Class: "interrupted", Reason: "the daemon ended before the answer; what the call cost is not known", Unpriced: true}
		if asked, err := events.Decode(r.Event); err == nil {
			if asked, ok := asked.(*events.LLMRequested); ok {
				f.Task = asked.Task
			}
		}
		if _, err := a.scribe.Append(ctx, scribe.After(r), events.MachineSubject(host), f, events.Anything); err != nil {
			return err
		}
	}
	return a.shift(ctx, "the daemon started")
}

func (a *Analyst) spent(at time.Time, cost int64) {
	if a.cfg.Budget != nil {
		a.cfg.Budget.Spent(at, cost)
	}
}

// Mode is how well words are understood now.
func (a *Analyst) Mode(ctx context.Context) events.Mode {
	r := a.cfg.Router()
	switch {
	case r != nil && r.Usable():
		return events.ModeFull
	case a.cfg.Cache != nil && !a.cfg.Cache.Empty(ctx):
		return events.ModeCached
	case a.cfg.Indexed():
		return events.ModeOffline
	}
	return events.ModeNames
}

// shift records that the mode changed, if it did.
func (a *Analyst) shift(ctx context.Context, why string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	mode := a.Mode(ctx)
	if mode == a.mode || a.mode == "" && a.cfg.Router() == nil {
		return nil // without a provider there is nothing that could change
	}
	_, err := a.scribe.Append(ctx, scribe.Cause{}, events.MachineSubject(a.scribe.Log.Host()), &events.LLMModeChanged{From: a.mode, To: mode, Reason: why}, events.Anything)
	if err == nil {
		a.mode = mode
	}
	return err
}

// Ask answers from the cache, or puts the question to a model. When nobody can
// answer, the error is ErrUnavailable, or ErrDenied when the budget forbids it.
func (a *Analyst) Ask(ctx context.Context, who events.Actor, q events.Question, delta func(route.Delta)) (events.Reply, error) {
	if err := q.Validate(); err != nil {
		return events.Reply{}, err
	}
	request, err := Prompt(q)
	if err != nil {
		return events.Reply{}, err
	}
	reply, ok, err := a.recall(ctx, who, q, hash(request))
	if ok || err != nil {
		return reply, err
	}
	router := a.cfg.Router()
	if router == nil {
		return events.Reply{}, &events.Error{Op: "analyst.Ask", Kind: events.ErrUnavailable, Err: errors.New("no model is set up"), Hint: "'cortex llm providers' tells how"}
	}
	return a.consult(ctx, router, who, q, request, delta)
}

// checkOf is what an answer must be, besides prose.
func checkOf(t events.Task) func(string) error {
	if t != events.TaskInstall {
		return nil
	}
	return func(text string) error {
		_, err := parse(text)
		return err
	}
}

// recall looks for an answer that was given before.
func (a *Analyst) recall(ctx context.Context, who events.Actor, q events.Question, prompt string) (events.Reply, bool, error) {
	if a.cfg.Cache == nil || q.Scope == "" || q.Provider != "" {
		return events.Reply{}, false, nil
	}
	start := a.cfg.Now()
	exact := exactKey(q)
	kept, ok, err := a.cfg.Cache.Find(ctx, q.Scope, exact, q.Canon)
	check := checkOf(q.Task)
	if err != nil || !ok || check != nil && check(kept.Answer) != nil {
		return events.Reply{}, false, nil // a cache that cannot be read is an empty one
	}
	r, err := a.append(ctx, scribe.Cause{}.By(who), &events.LLMCompleted{
		Task: q.Task, Question: question(q), Prompt: prompt, Answer: kept.Answer, Provider: "cache", Model: kept.Model, Cache: kept.How, From: kept.Event,
		Scope: q.Scope, Exact: exact, Canon: q.Canon, LatencyMs: a.cfg.Now().Sub(start).Milliseconds(),
	})
	return events.Reply{Mode: events.ModeCached, Event: r.ID, Text: kept.Answer, Provider: "cache", Model: kept.Model, Cache: kept.How}, true, err
}

func question(q events.Question) string {
	return events.Redact(events.Lines(q.Text, events.MaxWordsBytes))
}

// consult asks a model, with a record before and after.
func (a *Analyst) consult(ctx context.Context, router *route.Router, who events.Actor, q events.Question, request llm.Request, delta func(route.Delta)) (events.Reply, error) {
	prompt, exact := hash(request), exactKey(q)
	asked, err := a.append(ctx, scribe.Cause{}.By(who), &events.LLMRequested{
		Task: q.Task, Question: question(q), Prompt: prompt, Bytes: len(request.System) + len(request.Prompt) + len(request.Schema),
		Provider: events.Line(q.Provider, 64), Schema: SchemaVersion, Exact: exact,
	})
	if err != nil {
		return events.Reply{}, err
	}
	start := a.cfg.Now()
	res, failed := router.Do(ctx, route.Ask{Task: q.Task, Request: request, Only: q.Provider, Check: checkOf(q.Task), Delta: delta})
	took := a.cfg.Now().Sub(start).Milliseconds()
	late := context.WithoutCancel(ctx) // the end is recorded whoever went away
	cause := scribe.After(asked).By(who)
	if failed != nil {
		return events.Reply{}, errors.Join(a.failed(late, cause, q.Task, res, failed, took), a.shift(late, "nobody answered"))
	}
	text := events.Redact(events.Lines(res.Answer.Text, events.MaxLLMAnswerBytes))
	r, err := a.append(late, cause, &events.LLMCompleted{
		Task: q.Task, Question: question(q), Prompt: prompt, Answer: text, Provider: res.Provider, Model: res.Answer.Model,
		Scope: q.Scope, Exact: exact, Canon: q.Canon, Attempts: res.Attempts, Cost: res.Cost, Unpriced: res.Unpriced, LatencyMs: took,
	})
	if err != nil {
		return events.Reply{}, err
	}
	reply := events.Reply{Mode: events.ModeFull, Event: r.ID, Text: text, Provider: res.Provider, Model: res.Answer.Model, Cost: res.Cost, Unpriced: res.Unpriced}
	return reply, a.shift(late, "a provider answered")
}

// failed records why nobody answered, and makes the error of it.
func (a *Analyst) failed(ctx context.Context, cause scribe.Cause, task events.Task, res route.Result, failed error, took int64) error {
	reason := events.Redact(events.Line(failed.Error(), events.MaxReasonBytes))
	kind := events.KindOf(failed)
	if kind == events.ErrDenied {
		f := &events.LLMDenied{Task: task, Reason: reason, Attempts: res.Attempts, Cost: res.Cost}
		if e, ok := route.ExceededIn(failed); ok {
			f.Period, f.Limit, f.Spent, f.Would = e.Period, e.Limit, e.Spent, e.Would
		}
		_, err := a.append(ctx, cause, f)
		return errors.Join(failed, err)
	}
	class := llm.ClassOf(failed)
	_, err := a.append(ctx, cause, &events.LLMFailed{
		Task: task, Class: string(class), Reason: reason, Attempts: res.Attempts, Cost: res.Cost, Unpriced: res.Unpriced, LatencyMs: took,
	})
	if err != nil {
		return err
	}
	if kind == events.ErrUsage {
		return failed
	}
	out := events.ErrUnavailable
	if class == llm.Cancelled {
		out = events.ErrInterrupted
	}
	return &events.Error{Op: "analyst.Ask", Kind: out, Err: fmt.Errorf("no model answered: %s", reason), Hint: "'cortex llm health' tells how the providers are"}
}

func (a *Analyst) append(ctx context.Context, c scribe.Cause, f events.Fact) (events.Record, error) {
	return a.scribe.Append(ctx, c, events.MachineSubject(a.scribe.Log.Host()), f, events.Anything)
}
