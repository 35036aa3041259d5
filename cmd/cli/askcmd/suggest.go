package askcmd

import (
	"errors"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"cortex/cmd/api"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/memory"
)

func newSuggest(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "suggest", Short: "Tell what is worth doing, from what happened here", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Tell what is worth doing, from what happened here: what failed and has not worked
since, and what you always choose. Each suggestion names the events it rests on;
nothing is done, and no model is asked.`,
		Example: "  cortex suggest\n  cortex suggest dismiss f56",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.suggestions(cmd)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": memory.FormatVersion, "suggestions": list}, func(w io.Writer) { output.Suggestions(w, list) })
		},
	}
	cmd.AddCommand(newSuggestDismiss(a))
	return cmd
}

func (a *commands) suggestions(cmd *cobra.Command) (list []memory.Suggestion, err error) {
	err = a.ReadMemory(cmd.Context(), func(r *memory.Reader) error {
		list, err = r.Suggestions(cmd.Context())
		return err
	})
	return list, err
}

func newSuggestDismiss(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "dismiss ID", Short: "Do not hear a suggestion again", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Example: "  cortex suggest dismiss f56",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := a.suggestions(cmd)
			if err != nil {
				return err
			}
			for _, s := range list {
				if s.ID == args[0] {
					return a.remember(cmd.Context(), api.MemoryChange{DismissSuggestion: s.ID}, "dismissed")
				}
			}
			return &events.Error{Op: "cli.suggest", Kind: events.ErrNotFound, Subject: strconv.Quote(args[0]), Err: errors.New("there is no such suggestion"), Hint: "'cortex suggest' tells what there is"}
		},
	}
}
