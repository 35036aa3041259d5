package cli

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
	"cortex/cmd/output"
	"cortex/consumers/llm/ask"
	"cortex/consumers/llm/cachekey"
	"cortex/consumers/machine/apt"
	"cortex/embedded/pkgindex"
	"cortex/events"
	"cortex/projections/answers"
)

// understand finds out what words may mean: from the package lists, and by a model
// where there is one. All requests are looked at at once; one that fails costs the
// others nothing.
func (a *App) understand(ctx context.Context, w *installRequest) (wordsView, error) {
	c, err := a.catalog(ctx)
	if err != nil {
		return wordsView{}, err
	}
	defer c.Close()
	model, err := a.model(ctx, w)
	if err != nil {
		return wordsView{}, err
	}
	u := &understanding{app: a, catalog: c, client: model, wish: w, machine: a.machineLine(ctx), recall: a.recall(ctx)}
	parts := make([]wordsView, len(w.words))
	var g errgroup.Group
	g.SetLimit(a.Settings.ModelConcurrency)
	for i, request := range w.words {
		g.Go(func() (err error) {
			parts[i], err = u.one(ctx, request)
			return err
		})
	}
	err = errors.Join(g.Wait(), u.recall.close())
	view := wordsView{Version: 1, Mode: events.ModeOffline}
	for i, p := range parts {
		if i == 0 || better(p.Mode, view.Mode) {
			view.Mode, view.Origin = p.Mode, p.Origin
		}
		view.Needs = append(view.Needs, p.Needs...)
		view.Unknown = append(view.Unknown, p.Unknown...)
		view.Notes = append(view.Notes, p.Notes...)
		view.Cost += p.Cost
	}
	return view, err
}

func better(a, b events.LLMMode) bool {
	rank := map[events.LLMMode]int{events.ModeFull: 2, events.ModeCached: 1}
	return rank[a] > rank[b]
}

// understanding is what looking at one request needs.
type understanding struct {
	app     *App
	catalog *pkgindex.Index
	client  *client.Client // nil: no model
	wish    *installRequest
	machine string
	recall  recall
	told    sync.Once
}

// one looks at one request; what was chosen before for the same words comes first.
func (u *understanding) one(ctx context.Context, request string) (wordsView, error) {
	v, err := u.look(ctx, request)
	for i, n := range v.Needs {
		v.Needs[i] = u.recall.first(ctx, n, u.find(ctx))
	}
	return v, err
}

func (u *understanding) look(ctx context.Context, request string) (wordsView, error) {
	needs, err := u.catalog.Resolve(ctx, request)
	if err != nil {
		return wordsView{}, err
	}
	offline := wordsView{Mode: events.ModeOffline, Origin: "found without a model, in " + u.catalog.Sources(), Needs: needs}
	exact := true
	for _, n := range needs {
		exact = exact && n.ExactName
	}
	q := u.question(ctx, request, needs)
	if u.wish.show {
		return offline, u.app.showPrompt(q)
	}
	if u.client == nil || exact {
		return offline, nil
	}
	u.told.Do(func() { u.app.Infof("asking a model…") })
	reply, err := u.client.Ask(ctx, q, nil)
	switch {
	case ctx.Err() != nil:
		return wordsView{}, ctx.Err()
	case err != nil && u.wish.provider != "":
		return wordsView{}, err
	case err != nil:
		u.app.Infof("note: %v; looking in the package lists instead", err)
		return offline, nil
	}
	p, err := ask.ReadProposal(reply.Text, u.find(ctx))
	if err != nil || len(p.Needs) == 0 && p.Note == "" {
		u.app.Infof("note: the model named no package that exists; looking in the package lists instead")
		return offline, nil
	}
	view := wordsView{Mode: reply.Mode, Origin: origin(reply), Needs: p.Needs, Unknown: p.Unknown, Cost: reply.Cost}
	if p.Note != "" {
		view.Notes = []string{"the model says: " + p.Note}
	}
	return view, nil
}

// origin says where an answer is from.
func origin(r events.Reply) string {
	switch {
	case r.Cache == string(answers.MatchedByExactKey):
		return "from an answer that " + r.Model + " gave before to the same words"
	case r.Cache != "":
		return "from an answer that " + r.Model + " gave before to words that mean the same"
	case r.Unpriced:
		return fmt.Sprintf("proposed by %s (%s), at a price nobody set", r.Provider, r.Model)
	}
	return fmt.Sprintf("proposed by %s (%s) for %s", r.Provider, r.Model, output.MicroUSD(r.Cost))
}

// origin tells where candidates are from, and what else a person should know.
func (a *App) origin(v wordsView) {
	a.Infof("%s", v.Origin)
	if len(v.Unknown) > 0 {
		a.Infof("note: the model also named what no package list knows: %s", strings.Join(v.Unknown, ", "))
	}
	for _, n := range v.Notes {
		a.Infof("%s", n)
	}
}

// find looks a name up in the index.
func (u *understanding) find(ctx context.Context) func(events.PackageName) (events.Candidate, bool) {
	return func(name events.PackageName) (events.Candidate, bool) {
		c, ok, err := u.catalog.Get(ctx, name)
		return c, ok && err == nil
	}
}

// question is what a model would be asked.
func (u *understanding) question(ctx context.Context, request string, needs []events.Need) events.Question {
	q := events.Question{Task: events.TaskInstall, Text: request, Machine: u.machine, Needs: needs[:min(len(needs), events.MaxNeeds)], OnlyProvider: u.wish.provider}
	remembered := u.recall.evidence(ctx, needs)
	if remembered != "" {
		q.Evidence = []events.Evidence{{Source: "memory", Text: remembered}}
	}
	q.Scope = answers.Scope{Release: u.machine, Indexes: u.catalog.Fingerprint(), Schema: ask.SchemaVersion, Memory: answers.MemoryHash(remembered)}.Hash()
	if key, ok := cachekey.Compute(request, vocabulary{u.catalog}); ok {
		q.CanonicalKey = key.Hash()
	}
	return q
}

// vocabulary is the index as canonical keys need it.
type vocabulary struct{ c *pkgindex.Index }

func (v vocabulary) Frequency(word string) int { return v.c.Frequency(word) }

func (v vocabulary) IsPackage(name string) bool {
	known, err := v.c.Has(context.Background(), events.PackageName(name))
	return err == nil && known
}

// catalog opens the index of packages, and tells when it is old.
func (a *App) catalog(ctx context.Context) (*pkgindex.Index, error) {
	c, fresh, err := openindex.Open(ctx, openindex.LocationFor(a.Settings, a.Env), func(stage string) { a.Infof("%s…", stage) })
	if err == nil && !fresh {
		a.Infof("note: the index of packages is older than apt's lists")
	}
	return c, err
}

// model gives the way to the models, or nil when there is none, or none is wanted.
func (a *App) model(ctx context.Context, w *installRequest) (*client.Client, error) {
	if w.offline || w.show {
		return nil, nil
	}
	set, err := a.Settings.LoadModelSettings(a.Env)
	switch {
	case err != nil:
		return nil, err
	case w.provider != "":
	case len(set.Providers) == 0 && !pathExists(filepath.Join(a.Settings.ReadModelsDir(), answers.Name+".db")):
		return nil, nil // no model, and no answers of any
	}
	c, ping, err := a.Connect(ctx)
	if err != nil {
		return nil, err
	}
	m, err := c.ModelProvidersStatus(ctx, false)
	switch {
	case err != nil && w.provider != "":
		return nil, err
	case err != nil:
		a.Infof("note: no model: %v", err)
		return nil, nil
	case w.provider != "" || m.Mode == events.ModeFull || m.Mode == events.ModeCached:
		if m.Problem != "" {
			a.Infof("note: %s", m.Problem)
		}
		if ping.UID != a.UID && !ping.MayChange {
			return nil, nil // the daemon's owner pays, not we
		}
		return c, nil
	}
	return nil, nil
}

// machineLine says what machine this is, as far as choosing packages depends on it.
func (a *App) machineLine(ctx context.Context) string {
	release := "Linux"
	b, err := os.ReadFile(filepath.Join(a.Settings.Root, "etc/os-release"))
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
				release = strings.Trim(strings.TrimSpace(v), `"`)
			}
		}
	}
	arch, err := apt.New(apt.Config{Root: a.Settings.Root}).NativeArch(ctx)
	if err != nil {
		return release
	}
	return release + ", " + string(arch)
}

// showPrompt prints all that would leave the machine.
func (a *App) showPrompt(q events.Question) error {
	r, err := ask.BuildPrompt(q)
	if err != nil {
		return err
	}
	if a.JSON {
		a.PrintLine("prompt", "prompt", map[string]any{"system": r.System, "prompt": r.Prompt, "schema": r.Schema})
		return nil
	}
	fmt.Fprintf(a.Stdout, "%s\n\n%s\n", r.System, r.Prompt)
	if r.Schema != nil {
		fmt.Fprintf(a.Stdout, "\n%s\n", r.Schema)
	}
	return nil
}
