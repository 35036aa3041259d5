package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"cortex/cmd/client"
	"cortex/cmd/openindex"
	"cortex/consumers/llm"
	"cortex/consumers/llm/ask"
	"cortex/consumers/llm/cachekey"
	"cortex/consumers/llm/router"
	"cortex/consumers/machine/apt"
	"cortex/embedded/pkgindex"
	"cortex/events"
	"cortex/projections/answers"
)

// ModelOptions limits what a model is asked.
type ModelOptions struct {
	Offline    bool   // ask no model
	Provider   string // ask only this provider; it must answer
	ShowPrompt bool   // return the prompts instead of sending them
}

// Understanding is the interpretation of phrases: needs with candidates. Its JSON form is part of
// 'cortex install --candidates --json'.
type Understanding struct {
	Version int            `json:"version"`
	Mode    events.LLMMode `json:"mode"`
	Origin  string         `json:"origin"` // where the candidates are from
	Cost    int64          `json:"cost_uusd,omitempty"`
	Needs   []events.Need  `json:"needs"`
	Unknown []string       `json:"unknown,omitempty"` // packages that a model named and no package list contains
	Notes   []string       `json:"notes,omitempty"`   // what a model notes

	Prompts []llm.CompletionRequest `json:"-"` // with ModelOptions.ShowPrompt
}

// Understand finds out what phrases may mean: from the package lists, and from a model
// where there is one. It looks at all phrases at once. If the model fails for one, the
// package lists answer it.
func (s *Service) Understand(ctx context.Context, phrases []string, opts ModelOptions) (Understanding, error) {
	index, err := s.PackageIndex(ctx)
	if err != nil {
		return Understanding{}, err
	}
	defer index.Close()
	model, err := s.modelClient(ctx, opts)
	if err != nil {
		return Understanding{}, err
	}
	u := &understander{service: s, index: index, client: model, opts: opts, machine: s.MachineLine(ctx), choices: s.pastChoices(ctx)}
	parts := make([]Understanding, len(phrases))
	var g errgroup.Group
	g.SetLimit(s.Settings.ModelConcurrency)
	for i, request := range phrases {
		g.Go(func() (err error) {
			parts[i], err = u.resolve(ctx, request)
			return err
		})
	}
	err = errors.Join(g.Wait(), u.choices.close())
	all := Understanding{Version: 1, Mode: events.ModeOffline}
	for i, p := range parts {
		if i == 0 || betterMode(p.Mode, all.Mode) {
			all.Mode, all.Origin = p.Mode, p.Origin
		}
		all.Needs = append(all.Needs, p.Needs...)
		all.Unknown = append(all.Unknown, p.Unknown...)
		all.Notes = append(all.Notes, p.Notes...)
		all.Prompts = append(all.Prompts, p.Prompts...)
		all.Cost += p.Cost
	}
	return all, err
}

func betterMode(a, b events.LLMMode) bool {
	rank := map[events.LLMMode]int{events.ModeFull: 2, events.ModeCached: 1}
	return rank[a] > rank[b]
}

// understander resolves phrases. It is safe for concurrent use.
type understander struct {
	service *Service
	index   *pkgindex.Index
	client  *client.Client // nil: no model
	opts    ModelOptions
	machine string
	choices pastChoices
	asking  sync.Once
}

// resolve resolves one phrase. It puts earlier choices for the same phrase first.
func (u *understander) resolve(ctx context.Context, request string) (Understanding, error) {
	v, err := u.candidates(ctx, request)
	for i, n := range v.Needs {
		v.Needs[i] = u.choices.first(ctx, n, u.find(ctx))
	}
	return v, err
}

func (u *understander) candidates(ctx context.Context, request string) (Understanding, error) {
	needs, err := u.index.Resolve(ctx, request)
	if err != nil {
		return Understanding{}, err
	}
	offline := Understanding{Mode: events.ModeOffline, Origin: "found without a model, in " + u.index.Sources(), Needs: needs}
	exact := true
	for _, n := range needs {
		exact = exact && n.ExactName
	}
	q := u.question(ctx, request, needs)
	if u.opts.ShowPrompt {
		prompt, err := ask.BuildPrompt(q)
		offline.Prompts = []llm.CompletionRequest{prompt}
		return offline, err
	}
	if u.client == nil || exact {
		return offline, nil
	}
	u.asking.Do(func() { u.service.Note("asking a model…") })
	reply, err := u.client.Ask(ctx, q, nil)
	switch {
	case ctx.Err() != nil:
		return Understanding{}, ctx.Err()
	case err != nil && u.opts.Provider != "":
		return Understanding{}, err
	case err != nil:
		u.service.Note(fmt.Sprintf("note: %v; searching the package lists instead", err))
		return offline, nil
	}
	p, err := ask.ReadProposal(reply.Text, u.find(ctx))
	if err != nil || len(p.Needs) == 0 && p.Note == "" {
		u.service.Note("note: the model named no existing package; searching the package lists instead")
		return offline, nil
	}
	view := Understanding{Mode: reply.Mode, Origin: ReplyOrigin(reply), Needs: p.Needs, Unknown: p.Unknown, Cost: reply.Cost}
	if p.Note != "" {
		view.Notes = []string{"the model says: " + p.Note}
	}
	return view, nil
}

// ReplyOrigin describes where an answer comes from.
func ReplyOrigin(r events.Reply) string {
	switch {
	case r.Cache == string(answers.MatchedByExactKey):
		return "from a cached answer of " + r.Model + " to the same words"
	case r.Cache != "":
		return "from a cached answer of " + r.Model + " to words that mean the same"
	case r.Unpriced:
		return fmt.Sprintf("proposed by %s (%s), whose price is not set", r.Provider, r.Model)
	}
	return fmt.Sprintf("proposed by %s (%s) for %s", r.Provider, r.Model, router.FormatUSD(r.Cost))
}

// find looks a name up in the index.
func (u *understander) find(ctx context.Context) func(events.PackageName) (events.Candidate, bool) {
	return func(name events.PackageName) (events.Candidate, bool) {
		c, ok, err := u.index.Get(ctx, name)
		return c, ok && err == nil
	}
}

// question returns the question for a model.
func (u *understander) question(ctx context.Context, request string, needs []events.Need) events.Question {
	q := events.Question{Task: events.TaskInstall, Text: request, Machine: u.machine, Needs: needs[:min(len(needs), events.MaxNeeds)], OnlyProvider: u.opts.Provider}
	remembered := u.choices.promptText(ctx, needs)
	if remembered != "" {
		q.Evidence = []events.Evidence{{Source: "memory", Text: remembered}}
	}
	q.Scope = answers.Scope{Release: u.machine, Indexes: u.index.Fingerprint(), Schema: ask.SchemaVersion, Memory: answers.MemoryHash(remembered)}.Hash()
	if key, ok := cachekey.Compute(request, vocabulary{u.index}); ok {
		q.CanonicalKey = key.Hash()
	}
	return q
}

// vocabulary is the index in the form that canonical keys need.
type vocabulary struct{ c *pkgindex.Index }

func (v vocabulary) Frequency(word string) int { return v.c.Frequency(word) }

func (v vocabulary) IsPackage(name string) bool {
	known, err := v.c.Has(context.Background(), events.PackageName(name))
	return err == nil && known
}

// PackageIndex opens the index of packages, and builds it first if needed.
func (s *Service) PackageIndex(ctx context.Context) (*pkgindex.Index, error) {
	index, fresh, err := openindex.Open(ctx, openindex.LocationFor(s.Settings, s.Env), func(stage string) { s.Note(stage + "…") })
	if err == nil && !fresh {
		s.Note("note: the index of packages is older than apt's lists")
	}
	return index, err
}

// modelClient returns the client of a daemon that has a model, nil if there is no model
// or none may be asked.
func (s *Service) modelClient(ctx context.Context, opts ModelOptions) (*client.Client, error) {
	if opts.Offline || opts.ShowPrompt {
		return nil, nil
	}
	set, err := s.Settings.LoadModelSettings(s.Env)
	switch {
	case err != nil:
		return nil, err
	case opts.Provider != "":
	case len(set.Providers) == 0 && !PathExists(filepath.Join(s.Settings.ReadModelsDir(), answers.Name+".db")):
		return nil, nil // no model, and no answers of any
	}
	c, ping, err := s.Connect(ctx)
	if err != nil {
		return nil, err
	}
	m, err := c.ModelProvidersStatus(ctx, false)
	switch {
	case err != nil && opts.Provider != "":
		return nil, err
	case err != nil:
		s.Note(fmt.Sprintf("note: no model: %v", err))
		return nil, nil
	case opts.Provider != "" || m.Mode == events.ModeFull || m.Mode == events.ModeCached:
		if m.Problem != "" {
			s.Note("note: " + m.Problem)
		}
		if ping.UID != s.UID && !ping.MayChange {
			return nil, nil // the owner of the daemon would pay
		}
		return c, nil
	}
	return nil, nil
}

// MachineLine returns the release and the architecture of this machine, on which the
// choice of packages depends.
func (s *Service) MachineLine(ctx context.Context) string {
	release := "Linux"
	b, err := os.ReadFile(filepath.Join(s.Settings.Root, "etc/os-release"))
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
				release = strings.Trim(strings.TrimSpace(v), `"`)
			}
		}
	}
	arch, err := apt.New(apt.Config{Root: s.Settings.Root}).NativeArch(ctx)
	if err != nil {
		return release
	}
	return release + ", " + string(arch)
}
