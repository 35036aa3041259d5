package transactcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/producers/intent"
)

// installRequest is the arguments of install and plan: packages by name, and words.
type installRequest struct {
	refs       []events.PackageRef
	words      []string
	pick       []string // one choice for each need, or all choices for the only need
	candidates bool     // only show the candidates
	first      bool     // a dry run: take the first candidate
	app.ModelOptions
	chosen []events.Choice
}

func (w *installRequest) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&w.pick, "pick", nil, "choose a candidate by number or name, one for each need")
	f.BoolVar(&w.candidates, "candidates", false, "show the packages that match the words, and stop")
	cmdutil.ModelFlags(f, &w.ModelOptions)
}

// sort separates names from words: an argument with a blank is words.
func (w *installRequest) sort(args []string) error {
	var names []string
	for _, arg := range args {
		if strings.ContainsAny(strings.TrimSpace(arg), " \t\n") {
			if len(arg) > events.MaxTextBytes {
				return &events.Error{Op: "cli", Kind: events.ErrUsage, Subject: "words", Err: fmt.Errorf("%d bytes; at most %d are allowed", len(arg), events.MaxTextBytes)}
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

// moveUnknown moves names that no index knows to the words: they may be misspelt, or words.
// It does so only if a person chooses. In a script a misspelt name is an error, whether there
// is an index or not.
func (a *commands) moveUnknown(ctx context.Context, w *installRequest) error {
	if !a.Interactive() && !w.candidates && len(w.pick) == 0 {
		return nil
	}
	known, unknown, err := a.KnownPackages(ctx, w.refs)
	if err != nil {
		return err
	}
	w.refs, w.words = known, append(w.words, unknown...)
	return nil
}

// chosen returns the packages for the words, as the user chooses. It returns none if nothing
// is left to do.
func (a *commands) chosen(ctx context.Context, w *installRequest) ([]events.PackageRef, error) {
	view, err := a.Understand(ctx, w.words, w.ModelOptions)
	if err != nil {
		return nil, err
	}
	if len(view.Needs) == 0 {
		return nil, &events.Error{Op: "cli", Kind: events.ErrNotFound, Subject: "words", Err: errors.New(strings.Join(append(view.Notes, "they name nothing to install"), "; "))}
	}
	for _, n := range view.Needs {
		if len(n.Candidates) == 0 {
			return nil, &events.Error{Op: "cli", Kind: events.ErrNotFound, Subject: strconv.Quote(n.Phrase), Err: errors.New("no package matches"), Hint: "try other words, or update the package lists: apt-get update"}
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

// showOrigin prints the source of the candidates, and the notes.
func (a *commands) showOrigin(v app.Understanding) {
	a.Infof("%s", v.Origin)
	if len(v.Unknown) > 0 {
		a.Infof("note: the model also named packages that no package list contains: %s", strings.Join(v.Unknown, ", "))
	}
	for _, n := range v.Notes {
		a.Infof("%s", n)
	}
}
