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

// llmProviders holds the router to the model providers. It rebuilds the router when the
// settings or the keys change.
type llmProviders struct {
	settings  config.Settings
	env       func(string) string
	budget    *router.Budget
	configErr error // the problem of the settings, if any

	mu         sync.Mutex
	configured config.ModelSettings
	router     *router.ProviderRouter
	closers    []interface{ Close() }
}

// newLLMProviders reads the settings of models. An invalid setting is reported by Ask and
// the status; it does not prevent an installation by name.
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
		return 0, &events.Error{Op: "daemon.parseBudget", Kind: events.ErrUsage, Subject: name, Err: err}
	}
	return n, nil
}

// currentRouter returns a router to the usable providers, or nil if there are none.
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
			return b, &events.Error{Op: "daemon.newBackend", Kind: events.ErrUsage, Subject: "CORTEX_LLM_" + router.EnvName(p.Name) + "_PRICE", Err: err}
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

// Close closes idle connections.
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

// answerCache finds answers in the answers read model.
type answerCache struct{ path string }

func (c answerCache) withReader(ctx context.Context, f func(*answers.Reader) error) error {
	db, err := sqlite.OpenReader(ctx, c.path, 1)
	if err != nil {
		return err
	}
	r := answers.NewReader(db)
	return errors.Join(f(r), r.Close(), db.Close())
}

// Find implements [ask.Cache].
func (c answerCache) Find(ctx context.Context, scope, exact, canon string) (found ask.StoredAnswer, ok bool, err error) {
	err = c.withReader(ctx, func(r *answers.Reader) error {
		a, how, hit, err := r.Lookup(ctx, answers.LookupKeys{Scope: scope, ExactKey: exact, CanonicalKey: canon, Now: time.Now()})
		found, ok = ask.StoredAnswer{Event: a.ID, Answer: a.Answer, Model: a.Model, Match: string(how)}, hit
		return err
	})
	return found, ok, err
}

// Empty implements [ask.Cache].
func (c answerCache) Empty(ctx context.Context) bool {
	n := int64(0)
	err := c.withReader(ctx, func(r *answers.Reader) error {
		t, err := r.Totals(ctx)
		n = t.Answers
		return err
	})
	return err != nil || n == 0
}

// newAsker returns the asker and the providers that it uses.
func newAsker(rec *recorder.Recorder, s config.Settings, logger *slog.Logger) (*ask.Asker, *llmProviders) {
	providers := newLLMProviders(s, os.Getenv)
	location := openindex.LocationFor(s, os.Getenv)
	return ask.New(rec, ask.Config{
		Router: providers.currentRouter, Budget: providers.budget, Now: time.Now,
		Cache:           answerCache{filepath.Join(s.ReadModelsDir(), answers.Name+".db")},
		HasPackageIndex: func() bool { return !openindex.HasNoLists(location) },
		Report:          func(err error) { logger.Warn("LLM mode change not recorded", "error", err) },
	}), providers
}

// Ask implements [api.Daemon].
func (srv *server) Ask(ctx context.Context, who events.Actor, q events.Question, delta func(router.Delta)) (events.Reply, error) {
	return srv.asker.Ask(ctx, who, q, delta)
}

// ModelProvidersStatus implements [api.Daemon].
func (srv *server) ModelProvidersStatus(ctx context.Context, probe bool) (api.ModelProvidersStatus, error) {
	out := api.ModelProvidersStatus{Mode: srv.asker.Mode(ctx)}
	if srv.llmProviders.configErr != nil {
		out.Problem = srv.llmProviders.configErr.Error()
	}
	if r := srv.llmProviders.currentRouter(); r != nil {
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

// probeTimeout bounds the probe of all providers.
const probeTimeout = 10 * time.Second
