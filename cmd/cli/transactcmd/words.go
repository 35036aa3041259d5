package transactcmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
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
	app.ModelOptions
	chosen []events.Choice
}

func (w *installRequest) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&w.pick, "pick", nil, "choose for words: the number or the name of a candidate, for each need one")
	f.BoolVar(&w.candidates, "candidates", false, "show what the words may mean, and stop")
	cmdutil.ModelFlags(f, &w.ModelOptions)
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
func (a *commands) unknown(ctx context.Context, w *installRequest) error {
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
func (a *commands) installed(name events.PackageName) bool {
	info := filepath.Join(a.Settings.Root, "var/lib/dpkg/info")
	found, err := filepath.Glob(filepath.Join(info, string(name)+":*.list"))
	return app.PathExists(filepath.Join(info, string(name)+".list")) || err == nil && len(found) > 0
}

// chosen turns the words into packages, with a person's choice. It returns no
// packages when there is nothing left to do.
func (a *commands) chosen(ctx context.Context, w *installRequest) ([]events.PackageRef, error) {
	view, err := a.Understand(ctx, w.words, w.ModelOptions)
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
	if w.ShowPrompt {
		for _, p := range view.Prompts {
			a.ShowPrompt(p)
		}
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

func (a *commands) showCandidates(v app.Understanding) error {
	if a.JSON {
		a.PrintLine("candidates", "candidates", v)
		return nil
	}
	output.Candidates(a.Stdout, v.Needs)
	a.showOrigin(v)
	return nil
}

// showOrigin prints where candidates are from, and the notes.
func (a *commands) showOrigin(v app.Understanding) {
	a.Infof("%s", v.Origin)
	if len(v.Unknown) > 0 {
		a.Infof("note: the model also named packages that no package list contains: %s", strings.Join(v.Unknown, ", "))
	}
	for _, n := range v.Notes {
		a.Infof("%s", n)
	}
}
