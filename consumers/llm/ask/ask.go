// Package ask answers questions with a language model or with a stored answer, and
// records both.
//
// It promises:
//
//   - A question is recorded before it leaves the machine. Afterwards the answer, the
//     failure or the denial is recorded, with every call, its tokens and its cost.
//   - A question without an end, because the daemon died, is recorded as failed at
//     the next start.
//   - Secrets that can be recognised by their form are removed from everything that
//     is recorded or sent.
//   - A stored answer is used only if its scope and key are equal, and after it was
//     checked again.
//   - The answer of a model is data: nothing in it is run.
package ask

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cortex/consumers/llm"
	"cortex/consumers/llm/router"
	"cortex/consumers/recorder"
	"cortex/events"
)

// probeInterval is how often unavailable providers are probed.
const probeInterval = 15 * time.Second

// StoredAnswer is an earlier answer.
type StoredAnswer struct {
	Event  events.ID
	Answer string
	Model  string
	Match  string // exact or canonical
}

// Cache finds earlier answers. The read model of answers implements it.
type Cache interface {
	Find(ctx context.Context, scope, exact, canonical string) (StoredAnswer, bool, error)
	Empty(ctx context.Context) bool
}

// Config configures an Asker.
type Config struct {
	Router          func() *router.ProviderRouter // returns nil when no provider is configured
	Budget          *router.Budget
	Cache           Cache       // optional
	HasPackageIndex func() bool // the package lists can be searched
	Now             func() time.Time
	Report          func(error) // receives errors of the background work
}

// Asker answers questions. It is safe for concurrent use.
type Asker struct {
	recorder *recorder.Recorder
	cfg      Config

	mu           sync.Mutex
	recordedMode events.LLMMode // the mode that the log shows
}

// New returns an Asker.
func New(s *recorder.Recorder, cfg Config) *Asker { return &Asker{recorder: s, cfg: cfg} }

// Run ends the questions of an earlier daemon, then probes unavailable providers until
// ctx is done.
func (a *Asker) Run(ctx context.Context) error {
	if err := a.resume(ctx); err != nil {
		return err
	}
	for {
		t := time.NewTimer(probeInterval)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		r := a.cfg.Router()
		if r == nil || r.AnyAvailable() {
			continue
		}
		probe, cancel := context.WithTimeout(ctx, probeInterval)
		r.Probe(probe, false)
		cancel()
		if err := a.recordModeChange(ctx, "a provider was probed"); err != nil && ctx.Err() == nil {
			a.cfg.Report(err)
		}
	}
}

// resume reads the spending of this month and ends questions without an end.
func (a *Asker) resume(ctx context.Context) error {
	log := a.recorder.Log
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
			a.addSpent(r.Time, f.Cost)
		case *events.LLMFailed:
			delete(open, r.Causation)
			a.addSpent(r.Time, f.Cost)
		case *events.LLMDenied:
			delete(open, r.Causation)
			a.addSpent(r.Time, f.Cost)
		case *events.LLMModeChanged:
			a.recordedMode = f.To
		case *events.UnknownFact: // a newer Cortex recorded how the question ended
			delete(open, r.Causation)
		}
	}
	for _, id := range order {
		r, ok := open[id]
		if !ok {
			continue
		}
		f := &events.LLMFailed{Class: "interrupted", Reason: "the daemon ended before the answer; the cost of the call is unknown", Unpriced: true}
		if asked, err := events.Decode(r.Event); err == nil {
			if asked, ok := asked.(*events.LLMRequested); ok {
				f.Task = asked.Task
			}
		}
		if _, err := a.recorder.Append(ctx, recorder.CausedBy(r), events.MachineSubject(host), f, events.NoExpectation); err != nil {
			return err
		}
	}
	return a.recordModeChange(ctx, "the daemon started")
}

func (a *Asker) addSpent(at time.Time, cost int64) {
	if a.cfg.Budget != nil {
		a.cfg.Budget.AddSpent(at, cost)
	}
}

// Mode returns the present way of answering questions.
func (a *Asker) Mode(ctx context.Context) events.LLMMode {
	r := a.cfg.Router()
	switch {
	case r != nil && r.AnyAvailable():
		return events.ModeFull
	case a.cfg.Cache != nil && !a.cfg.Cache.Empty(ctx):
		return events.ModeCached
	case a.cfg.HasPackageIndex():
		return events.ModeOffline
	}
	return events.ModeNames
}

// recordModeChange records the mode if it changed.
func (a *Asker) recordModeChange(ctx context.Context, why string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	mode := a.Mode(ctx)
	if mode == a.recordedMode || a.recordedMode == "" && a.cfg.Router() == nil {
		return nil // without a provider the mode cannot change
	}
	_, err := a.recorder.Append(ctx, recorder.Cause{}, events.MachineSubject(a.recorder.Log.Host()), &events.LLMModeChanged{From: a.recordedMode, To: mode, Reason: why}, events.NoExpectation)
	if err == nil {
		a.recordedMode = mode
	}
	return err
}

// Ask answers from the cache, or asks a model. If no model answers, the error is
// ErrUnavailable, or ErrDenied when the budget forbids the call.
func (a *Asker) Ask(ctx context.Context, who events.Actor, q events.Question, delta func(router.Delta)) (events.Reply, error) {
	if err := q.Validate(); err != nil {
		return events.Reply{}, err
	}
	request, err := BuildPrompt(q)
	if err != nil {
		return events.Reply{}, err
	}
	reply, ok, err := a.answerFromCache(ctx, who, q, promptHash(request))
	if ok || err != nil {
		return reply, err
	}
	router := a.cfg.Router()
	if router == nil {
		return events.Reply{}, &events.Error{Op: "ask.Ask", Kind: events.ErrUnavailable, Err: errors.New("no AI model is configured"), Hint: "see 'cortex llm providers'"}
	}
	return a.askModel(ctx, router, who, q, request, delta)
}

// answerCheck returns the check of an answer; nil for prose.
func answerCheck(t events.LLMTask) func(string) error {
	if t != events.TaskInstall {
		return nil
	}
	return func(text string) error {
		_, err := parseProposal(text)
		return err
	}
}

// answerFromCache looks for an earlier answer.
func (a *Asker) answerFromCache(ctx context.Context, who events.Actor, q events.Question, prompt string) (events.Reply, bool, error) {
	if a.cfg.Cache == nil || q.Scope == "" || q.OnlyProvider != "" {
		return events.Reply{}, false, nil
	}
	start := a.cfg.Now()
	exact := exactKey(q)
	stored, ok, err := a.cfg.Cache.Find(ctx, q.Scope, exact, q.CanonicalKey)
	check := answerCheck(q.Task)
	if err != nil || !ok || check != nil && check(stored.Answer) != nil {
		return events.Reply{}, false, nil // a cache that cannot be read counts as empty
	}
	r, err := a.append(ctx, recorder.Cause{}.WithActor(who), &events.LLMCompleted{
		Task: q.Task, Question: redactedQuestion(q), PromptHash: prompt, Answer: stored.Answer, Provider: "cache", Model: stored.Model, Cache: stored.Match, CachedFrom: stored.Event,
		Scope: q.Scope, ExactKey: exact, CanonicalKey: q.CanonicalKey, LatencyMs: a.cfg.Now().Sub(start).Milliseconds(),
	})
	return events.Reply{Mode: events.ModeCached, EventID: r.ID, Text: stored.Answer, Provider: "cache", Model: stored.Model, Cache: stored.Match}, true, err
}

func redactedQuestion(q events.Question) string {
	return events.Redact(events.SanitizeText(q.Text, events.MaxTextBytes))
}

// askModel asks a model and records the question and its end.
func (a *Asker) askModel(ctx context.Context, providers *router.ProviderRouter, who events.Actor, q events.Question, request llm.CompletionRequest, delta func(router.Delta)) (events.Reply, error) {
	prompt, exact := promptHash(request), exactKey(q)
	asked, err := a.append(ctx, recorder.Cause{}.WithActor(who), &events.LLMRequested{
		Task: q.Task, Question: redactedQuestion(q), PromptHash: prompt, PromptBytes: len(request.System) + len(request.Prompt) + len(request.Schema),
		OnlyProvider: events.SanitizeLine(q.OnlyProvider, 64), Schema: SchemaVersion, ExactKey: exact,
	})
	if err != nil {
		return events.Reply{}, err
	}
	start := a.cfg.Now()
	res, failed := providers.Ask(ctx, router.AskRequest{Task: q.Task, Request: request, OnlyProvider: q.OnlyProvider, CheckAnswer: answerCheck(q.Task), OnDelta: delta})
	took := a.cfg.Now().Sub(start).Milliseconds()
	late := context.WithoutCancel(ctx) // the end is recorded even if the caller left
	cause := recorder.CausedBy(asked).WithActor(who)
	if failed != nil {
		return events.Reply{}, errors.Join(a.recordFailure(late, cause, q.Task, res, failed, took), a.recordModeChange(late, "no provider answered"))
	}
	text := events.Redact(events.SanitizeText(res.Answer.Text, events.MaxLLMAnswerBytes))
	r, err := a.append(late, cause, &events.LLMCompleted{
		Task: q.Task, Question: redactedQuestion(q), PromptHash: prompt, Answer: text, Provider: res.Provider, Model: res.Answer.Model,
		Scope: q.Scope, ExactKey: exact, CanonicalKey: q.CanonicalKey, Attempts: res.Attempts, Cost: res.Cost, Unpriced: res.Unpriced, LatencyMs: took,
	})
	if err != nil {
		return events.Reply{}, err
	}
	reply := events.Reply{Mode: events.ModeFull, EventID: r.ID, Text: text, Provider: res.Provider, Model: res.Answer.Model, Cost: res.Cost, Unpriced: res.Unpriced}
	return reply, a.recordModeChange(late, "a provider answered")
}

// recordFailure records why no provider answered, and returns the error for the
// caller.
func (a *Asker) recordFailure(ctx context.Context, cause recorder.Cause, task events.LLMTask, res router.AskResult, failed error, took int64) error {
	reason := events.Redact(events.SanitizeLine(failed.Error(), events.MaxReasonBytes))
	kind := events.KindOf(failed)
	if kind == events.ErrDenied {
		f := &events.LLMDenied{Task: task, Reason: reason, Attempts: res.Attempts, Cost: res.Cost}
		if e, ok := router.AsBudgetExceeded(failed); ok {
			f.Period, f.Limit, f.Spent, f.EstimatedCost = e.Period, e.Limit, e.Spent, e.MaxCost
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
	return &events.Error{Op: "ask.Ask", Kind: out, Err: fmt.Errorf("no model answered: %s", reason), Hint: "see 'cortex llm health'"}
}

func (a *Asker) append(ctx context.Context, c recorder.Cause, f events.Fact) (events.Record, error) {
	return a.recorder.Append(ctx, c, events.MachineSubject(a.recorder.Log.Host()), f, events.NoExpectation)
}
