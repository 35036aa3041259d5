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

	"cortex/cmd/door"
	"cortex/cmd/settings"
	"cortex/cmd/words"
	"cortex/consumers/analyst"
	"cortex/consumers/llm"
	"cortex/consumers/llm/route"
	"cortex/consumers/scribe"
	"cortex/embedded/store"
	"cortex/events"
	"cortex/projections/answers"
)

// models is the way to the models: made of what is set, and made anew when a key
// comes or goes.
type models struct {
	settings settings.Settings
	env      func(string) string
	budget   *route.Budget
	problem  error // of what is set

	mu     sync.Mutex
	set    settings.Models
	router *route.Router
	open   []interface{ Close() }
}

// newModels reads what is set. What is set wrongly is told to who asks, and keeps
// no one from installing by name.
func newModels(s settings.Settings, env func(string) string) *models {
	m := &models{settings: s, env: env}
	set, err := s.LoadModels(env)
	day, err1 := amount(set.BudgetDay, "CORTEX_LLM_BUDGET_DAY")
	month, err2 := amount(set.ByMonth, "CORTEX_LLM_BUDGET_MONTH")
	m.problem = errors.Join(err, err1, err2)
	m.budget = route.NewBudget(day, month, time.Now)
	return m
}

func amount(v, name string) (int64, error) {
	if v == "" {
		return 0, nil
	}
	n, err := route.ParseUSD(v)
	if err != nil {
		return 0, &events.Error{Op: "daemon.amount", Kind: events.ErrUsage, Subject: name, Err: err}
	}
	return n, nil
}

// current gives the router to the providers that can be used now, or nil.
func (m *models) current() *route.Router {
	m.mu.Lock()
	defer m.mu.Unlock()
	set, err := m.settings.LoadModels(m.env)
	if err != nil && len(set.Providers) == 0 {
		m.problem = err
	}
	if m.router != nil && reflect.DeepEqual(set, m.set) {
		return m.router
	}
	m.close()
	m.set, m.router = set, nil
	var backends []route.Backend
	for _, p := range set.Providers {
		b, err := m.backend(p)
		if err != nil {
			m.problem = err
			continue
		}
		backends = append(backends, b)
	}
	if len(backends) > 0 {
		m.router = route.New(route.Config{Backends: backends, Budget: m.budget, Now: time.Now})
	}
	return m.router
}

func (m *models) backend(p settings.ModelProvider) (route.Backend, error) {
	cfg := llm.Config{Name: p.Name, URL: p.URL, Model: p.Model, Key: func() (string, error) {
		key, _, err := m.settings.Key(p.Name, m.env)
		return key, err
	}}
	b := route.Backend{RPM: p.RPM, TPM: p.TPM}
	var err error
	if p.Price != "" {
		if b.Price, err = route.ParsePrice(p.Price); err != nil {
			return b, &events.Error{Op: "daemon.backend", Kind: events.ErrUsage, Subject: "CORTEX_LLM_" + route.EnvName(p.Name) + "_PRICE", Err: err}
		}
	}
	switch p.Protocol {
	case "anthropic":
		var a *llm.Anthropic
		a, err = llm.NewAnthropic(cfg)
		b.Provider = a
		m.open = append(m.open, a)
	default:
		var o *llm.OpenAI
		o, err = llm.NewOpenAI(cfg)
		b.Provider = o
		m.open = append(m.open, o)
	}
	if err != nil {
		m.open = m.open[:len(m.open)-1]
	}
	return b, err
}

// Close gives up idle connections.
func (m *models) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.close()
}

func (m *models) close() {
	for _, o := range m.open {
		o.Close()
	}
	m.open = nil
}

// kept finds answers in the read model of answers.
type kept struct{ path string }

func (k kept) ask(ctx context.Context, f func(*answers.Reader) error) error {
	db, err := store.OpenReader(ctx, k.path, 1)
	if err != nil {
		return err
	}
	r := answers.NewReader(db)
	return errors.Join(f(r), r.Close(), db.Close())
}

// Find implements [analyst.Cache].
func (k kept) Find(ctx context.Context, scope, exact, canon string) (found analyst.Kept, ok bool, err error) {
	err = k.ask(ctx, func(r *answers.Reader) error {
		a, how, hit, err := r.Lookup(ctx, answers.Wanted{Scope: scope, Exact: exact, Canon: canon, Now: time.Now()})
		found, ok = analyst.Kept{Event: a.ID, Answer: a.Answer, Model: a.Model, How: string(how)}, hit
		return err
	})
	return found, ok, err
}

// Empty implements [analyst.Cache].
func (k kept) Empty(ctx context.Context) bool {
	n := int64(0)
	err := k.ask(ctx, func(r *answers.Reader) error {
		t, err := r.Totals(ctx)
		n = t.Answers
		return err
	})
	return err != nil || n == 0
}

// newAnalyst makes the one who asks the models, and the way there.
func newAnalyst(sc *scribe.Scribe, s settings.Settings, logger *slog.Logger) (*analyst.Analyst, *models) {
	way := newModels(s, os.Getenv)
	place := words.Of(s, os.Getenv)
	return analyst.New(sc, analyst.Config{
		Router: way.current, Budget: way.budget, Now: time.Now,
		Cache:   kept{filepath.Join(s.Reads(), answers.Name+".db")},
		Indexed: func() bool { return !words.Empty(place) },
		Report:  func(err error) { logger.Warn("a change of mode is not on record", "error", err) },
	}), way
}

// Ask implements [door.Backend].
func (in *inside) Ask(ctx context.Context, who events.Actor, q events.Question, delta func(route.Delta)) (events.Reply, error) {
	return in.analyst.Ask(ctx, who, q, delta)
}

// Models implements [door.Backend].
func (in *inside) Models(ctx context.Context, probe bool) (door.Models, error) {
	out := door.Models{Mode: in.analyst.Mode(ctx)}
	if in.way.problem != nil {
		out.Problem = in.way.problem.Error()
	}
	if r := in.way.current(); r != nil {
		if probe {
			ctx, cancel := context.WithTimeout(ctx, probeTimeout)
			defer cancel()
			for name, err := range r.Probe(ctx, true) {
				if err != nil {
					out.Probes = append(out.Probes, door.Probe{Name: name, Error: err.Error()})
					continue
				}
				out.Probes = append(out.Probes, door.Probe{Name: name})
			}
		}
		out.Providers = r.Health()
	}
	return out, nil
}

// probeTimeout bounds how long providers may take to say that they are there.
const probeTimeout = 10 * time.Second
