package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/config"
	"cortex/cmd/openindex"
	"cortex/consumers/llm"
	"cortex/consumers/llm/anthropic"
	"cortex/consumers/llm/ask"
	"cortex/consumers/llm/openai"
	"cortex/consumers/llm/router"
	"cortex/consumers/recorder"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections/answers"
)

// llmProviders is the way to the models: made of what is set, and made anew when a key
// comes or goes.
type llmProviders struct {
	settings  config.Settings
	env       func(string) string
	budget    *router.Budget
	configErr error // of what is set

	mu         sync.Mutex
	configured config.ModelSettings
	router     *router.ProviderRouter
	closers    []interface{ Close() }
}

// newLLMProviders reads what is set. What is set wrongly is told to who asks, and keeps
// no one from installing by name.
func newLLMProviders(s config.Settings, env func(string) string) *llmProviders {
	m := &llmProviders{settings: s, env: env}
	set, err := s.LoadModelSettings(env)
	day, err1 := parseBudget(set.BudgetPerDay, "CORTEX_LLM_BUDGET_DAY")
	month, err2 := parseBudget(set.BudgetPerMonth, "CORTEX_LLM_BUDGET_MONTH")
	m.configErr = errors.Join(err, err1, err2)
	m.budget = router.NewBudget(day, month, time.Now)
	return m
}

func parseBudget(v, name string) (int64, error) {
	if v == "" {
		return 0, nil
	}
	n, err := router.ParseUSD(v)
	if err != nil {
		return 0, &events.Error{Op: "daemon.amount", Kind: events.ErrUsage, Subject: name, Err: err}
	}
	return n, nil
}

// currentRouter gives the router to the providers that can be used now, or nil.
func (m *llmProviders) currentRouter() *router.ProviderRouter {
	m.mu.Lock()
	defer m.mu.Unlock()
	set, err := m.settings.LoadModelSettings(m.env)
	if err != nil && len(set.Providers) == 0 {
		m.configErr = err
	}
	if m.router != nil && reflect.DeepEqual(set, m.configured) {
		return m.router
	}
	m.close()
	m.configured, m.router = set, nil
	var backends []router.PricedProvider
	for _, p := range set.Providers {
		b, err := m.newBackend(p)
		if err != nil {
			m.configErr = err
			continue
		}
		backends = append(backends, b)
	}
	if len(backends) > 0 {
		m.router = router.New(router.Config{Providers: backends, Budget: m.budget, Now: time.Now})
	}
	return m.router
}

func (m *llmProviders) newBackend(p config.ModelProvider) (router.PricedProvider, error) {
	cfg := llm.Config{Name: p.Name, URL: p.URL, Model: p.Model, Key: func() (string, error) {
		key, _, err := m.settings.ModelKey(p.Name, m.env)
		return key, err
	}}
	b := router.PricedProvider{RPM: p.RPM, TPM: p.TPM}
	var err error
	if p.Price != "" {
		if b.Price, err = router.ParsePrice(p.Price); err != nil {
			return b, &events.Error{Op: "daemon.backend", Kind: events.ErrUsage, Subject: "CORTEX_LLM_" + router.EnvName(p.Name) + "_PRICE", Err: err}
		}
	}
	switch p.Protocol {
	case "anthropic":
		a, failed := anthropic.New(cfg)
		if err = failed; err == nil {
			b.Provider, m.closers = a, append(m.closers, a)
		}
	default:
		o, failed := openai.New(cfg)
		if err = failed; err == nil {
			b.Provider, m.closers = o, append(m.closers, o)
		}
	}
	return b, err
}

// Close gives up idle connections.
func (m *llmProviders) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.close()
}

func (m *llmProviders) close() {
	for _, o := range m.closers {
		o.Close()
	}
	m.closers = nil
}

// answerCache finds answers in the read model of answers.
type answerCache struct{ path string }

func (k answerCache) withReader(ctx context.Context, f func(*answers.Reader) error) error {
	db, err := sqlite.OpenReader(ctx, k.path, 1)
	if err != nil {
		return err
	}
	r := answers.NewReader(db)
	return errors.Join(f(r), r.Close(), db.Close())
}

// Find implements [asker.Cache].
func (k answerCache) Find(ctx context.Context, scope, exact, canon string) (found ask.StoredAnswer, ok bool, err error) {
	err = k.withReader(ctx, func(r *answers.Reader) error {
		a, how, hit, err := r.Lookup(ctx, answers.LookupKeys{Scope: scope, ExactKey: exact, CanonicalKey: canon, Now: time.Now()})
		found, ok = ask.StoredAnswer{Event: a.ID, Answer: a.Answer, Model: a.Model, Match: string(how)}, hit
		return err
	})
	return found, ok, err
}

// Empty implements [asker.Cache].
func (k answerCache) Empty(ctx context.Context) bool {
	n := int64(0)
	err := k.withReader(ctx, func(r *answers.Reader) error {
		t, err := r.Totals(ctx)
		n = t.Answers
		return err
	})
	return err != nil || n == 0
}

// newAsker makes the one who asks the models, and the way there.
func newAsker(sc *recorder.Recorder, s config.Settings, logger *slog.Logger) (*ask.Asker, *llmProviders) {
	way := newLLMProviders(s, os.Getenv)
	place := openindex.LocationFor(s, os.Getenv)
	return ask.New(sc, ask.Config{
		Router: way.currentRouter, Budget: way.budget, Now: time.Now,
		Cache:           answerCache{filepath.Join(s.ReadModelsDir(), answers.Name+".db")},
		HasPackageIndex: func() bool { return !openindex.HasNoLists(place) },
		Report:          func(err error) { logger.Warn("a change of mode is not on record", "error", err) },
	}), way
}

// Ask implements [api.Daemon].
func (in *server) Ask(ctx context.Context, who events.Actor, q events.Question, delta func(router.Delta)) (events.Reply, error) {
	return in.asker.Ask(ctx, who, q, delta)
}

// ModelProvidersStatus implements [api.Daemon].
func (in *server) ModelProvidersStatus(ctx context.Context, probe bool) (api.ModelProvidersStatus, error) {
	out := api.ModelProvidersStatus{Mode: in.asker.Mode(ctx)}
	if in.llmProviders.configErr != nil {
		out.Problem = in.llmProviders.configErr.Error()
	}
	if r := in.llmProviders.currentRouter(); r != nil {
		if probe {
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			for name, err := range r.Probe(ctx, true) {
				if err != nil {
					out.Probes = append(out.Probes, api.ProbeResult{Name: name, Error: err.Error()})
					continue
				}
				out.Probes = append(out.Probes, api.ProbeResult{Name: name})
			}
		}
		out.Providers = r.Health()
	}
	return out, nil
}

// probeTimeout bounds how long providers may take to say that they are there.
const probeTimeout = 10 * time.Second
