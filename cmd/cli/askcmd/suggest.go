package askcmd

import (
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/projections/memory"
)

func newSuggest(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "suggest", Short: "Suggest commands from this machine's history", Args: cmdutil.Args(0, 0),
		Long: `Suggest commands from this machine's history: for requests that failed and did not work later, and
for choices that you repeat. Each suggestion names the events that it is based on. The command
changes nothing and asks no model.`,
		Example: "  cortex suggest\n  cortex suggest dismiss f56",
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.Suggestions(cmd.Context())
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": memory.FormatVersion, "suggestions": list}, func(w io.Writer) { output.Suggestions(w, list) })
		},
	}
	cmd.AddCommand(newSuggestDismiss(a))
	return cmd
}

func newSuggestDismiss(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "dismiss ID", Short: "Dismiss a suggestion", Args: cmdutil.Args(1, 1),
		Example: "  cortex suggest dismiss f56",
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := a.DismissSuggestion(cmd.Context(), args[0])
			return a.printChange(at, err, "dismissed")
		},
	}
}
