package historycmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/producers/intent"
	"cortex/projections/history"
)

func newWhy(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "why PACKAGE", Short: "Why a package is installed: who asked, in what words, what needs it", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Why a package is installed: the transaction that brought it, who asked for that and
in what words, and the chain of dependencies from what was asked for.

  cortex why libgd3`,
		ValidArgsFunction: a.CompletePackages,
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := intent.ParsePackages(args)
			if err != nil {
				return err
			}
			return a.why(cmd.Context(), refs[0].Name)
		},
	}
}

// whyView is the answer as JSON.
type whyView struct {
	Version     int                     `json:"version"`
	Package     events.PackageName      `json:"package"`
	Automatic   bool                    `json:"automatic"`
	Transaction *history.TransactionRow `json:"transaction,omitempty"` // that brought it; absent when it was there before cortex
	Chain       []apt.Dependency        `json:"chain,omitempty"`       // from what was asked for
}

func (a *commands) why(ctx context.Context, name events.PackageName) error {
	machine := apt.New(apt.Config{Root: a.Settings.Root})
	inv, err := machine.Inventory(ctx)
	if err != nil {
		return err
	}
	view := whyView{Version: 1, Package: name}
	installed := false
	var manual []events.PackageName
	for k, s := range inv {
		if !s.Installed() {
			continue
		}
		if k.Name == name {
			installed, view.Automatic = true, s.Auto
		}
		if !s.Auto {
			manual = append(manual, k.Name)
		}
	}
	if !installed {
		return &events.Error{Op: "cli.why", Kind: events.ErrNotFound, Subject: string(name), Err: errors.New("it is not installed"), Hint: "see 'cortex history --package " + string(name) + "'"}
	}
	err = a.ReadHistory(ctx, func(r *history.Reader) error {
		t, ok, err := r.InstalledBy(ctx, name)
		if ok {
			view.Transaction = &t
		}
		return err
	})
	if err != nil && events.KindOf(err) != events.ErrNotFound {
		return err
	}
	if view.Automatic {
		if view.Chain, err = machine.DependencyChain(ctx, manual, name); err != nil {
			return err
		}
	}
	return a.PrintResult(view, func(w io.Writer) { tellWhy(w, view) })
}

func tellWhy(w io.Writer, v whyView) {
	switch t := v.Transaction; {
	case t == nil:
		fmt.Fprintf(w, "%s was there before cortex began to watch\n", v.Package)
	case t.State == events.StateObserved:
		fmt.Fprintf(w, "%s came with transaction %d on %s: %s, by %s\n", v.Package, t.Number, t.EndedAt.Local().Format("2006-01-02 15:04"), t.CommandLine, output.ActorName(t.Actor))
	default:
		fmt.Fprintf(w, "%s came with transaction %d on %s: %s asked: %s\n", v.Package, t.Number, t.EndedAt.Local().Format("2006-01-02 15:04"), output.ActorName(t.Actor), t.CommandLine)
	}
	if !v.Automatic {
		fmt.Fprintln(w, "it was asked for by name")
		return
	}
	if len(v.Chain) == 0 {
		fmt.Fprintln(w, "it came automatically, and nothing that was asked for needs it any more")
		return
	}
	fmt.Fprintln(w, "it came automatically:")
	for _, n := range v.Chain {
		fmt.Fprintf(w, "  %s %s %s\n", n.From, n.Relation, n.To)
	}
}
