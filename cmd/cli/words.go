package cli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cortex/cmd/openindex"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/producers/intent"
)

// installRequest is what install and plan were asked for: packages by name, and words.
type installRequest struct {
	refs       []events.PackageRef
	words      []string
	pick       []string // one choice for each need, or all choices for the only one
	candidates bool     // only show
	first      bool     // nothing will run: the first candidate will do
	offline    bool     // no model
	provider   string   // this model's
	show       bool     // what would be sent
	chosen     []events.Choice
}

func (w *installRequest) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&w.pick, "pick", nil, "choose for words: the number or the name of a candidate, for each need one")
	f.BoolVar(&w.candidates, "candidates", false, "show what the words may mean, and stop")
	modelFlags(f, &w.offline, &w.provider, &w.show)
}

// sort tells names from words: what holds a blank is words.
func (w *installRequest) sort(args []string) error {
	var names []string
	for _, arg := range args {
		if strings.ContainsAny(strings.TrimSpace(arg), " \t\n") {
			if len(arg) > events.MaxTextBytes {
				return &events.Error{Op: "cli.words", Kind: events.ErrUsage, Subject: "the words", Err: fmt.Errorf("%d bytes are more than %d", len(arg), events.MaxTextBytes)}
			}
			w.words = append(w.words, arg)
			continue
		}
		names = append(names, arg)
	}
	refs, err := intent.ParsePackages(names)
	w.refs = refs
	return err
}

// unknown moves names that no index knows to the words: they may be misspelt, or
// be a word after all. It does so only where somebody chooses: a script's typing
// error is an error, whether an index is ready or not.
func (a *App) unknown(ctx context.Context, w *installRequest) error {
	if !a.Interactive() && !w.candidates && len(w.pick) == 0 {
		return nil
	}
	c := openindex.OpenFresh(ctx, openindex.LocationFor(a.Settings, a.Env))
	if c == nil {
		return nil
	}
	defer c.Close()
	var known []events.PackageRef
	for _, ref := range w.refs {
		has := ref.Arch != "" || ref.Version != ""
		if !has {
			var err error
			if has, err = c.Has(ctx, ref.Name); err != nil {
				return err
			}
		}
		if !has && !a.installed(ref.Name) {
			w.words = append(w.words, string(ref.Name))
			continue
		}
		known = append(known, ref)
	}
	w.refs = known
	return nil
}

// installed reports whether dpkg has files of a package, wherever it came from.
func (a *App) installed(name events.PackageName) bool {
	info := filepath.Join(a.Settings.Root, "var/lib/dpkg/info")
	found, err := filepath.Glob(filepath.Join(info, string(name)+":*.list"))
	return pathExists(filepath.Join(info, string(name)+".list")) || err == nil && len(found) > 0
}

// wordsView is what words may mean, as JSON.
type wordsView struct {
	Version int            `json:"version"`
	Mode    events.LLMMode `json:"mode"`
	Origin  string         `json:"origin"` // for people: where the candidates are from
	Cost    int64          `json:"cost_uusd,omitempty"`
	Needs   []events.Need  `json:"needs"`
	Unknown []string       `json:"unknown,omitempty"` // a model named them, and no index knows them
	Notes   []string       `json:"notes,omitempty"`   // of models, to the person
}

// chosen turns the words into packages, with a person's choice. It returns no
// packages when there is nothing left to do.
func (a *App) chosen(ctx context.Context, w *installRequest) ([]events.PackageRef, error) {
	view, err := a.understand(ctx, w)
	if err != nil {
		return nil, err
	}
	if len(view.Needs) == 0 {
		return nil, &events.Error{Op: "cli.chosen", Kind: events.ErrNotFound, Subject: "the words", Err: errors.New(strings.Join(append(view.Notes, "nothing to install is asked for"), "; "))}
	}
	for _, n := range view.Needs {
		if len(n.Candidates) == 0 {
			return nil, &events.Error{Op: "cli.chosen", Kind: events.ErrNotFound, Subject: strconv.Quote(n.Phrase), Err: errors.New("no package fits"), Hint: "other words may find one; 'apt-get update' brings the lists up to date"}
		}
	}
	if w.show {
		return nil, nil
	}
	if w.candidates || a.JSON && len(w.pick) == 0 && !w.first {
		err := a.showCandidates(view)
		if err == nil && !w.candidates {
			err = choiceNeeded(view.Needs)
		}
		return nil, err
	}
	chosen, err := a.choose(ctx, w, view)
	if err != nil {
		return nil, err
	}
	refs := slices.Clone(w.refs)
	for _, name := range chosen {
		refs = append(refs, events.PackageRef{Name: name})
	}
	return refs, nil
}

func (a *App) showCandidates(v wordsView) error {
	if a.JSON {
		a.PrintLine("candidates", "candidates", v)
		return nil
	}
	output.Candidates(a.Stdout, v.Needs)
	a.origin(v)
	return nil
}

// modelFlags are the flags of commands that may ask a model.
func modelFlags(f *pflag.FlagSet, offline *bool, provider *string, show *bool) {
	f.BoolVar(offline, "offline", false, "ask no model; nothing leaves this machine")
	f.StringVar(provider, "provider", "", "ask this model's provider and no other")
	f.BoolVar(show, "show-prompt", false, "show exactly what would be sent to a model, and stop")
}
