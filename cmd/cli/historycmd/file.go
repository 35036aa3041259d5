package historycmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/history"
)

func newFile(a *commands) *cobra.Command {
	var diff bool
	cmd := &cobra.Command{
		Use: "file PATH", Short: "List the transactions that changed a file", Args: cmdutil.Args(1, 1),
		Long: `List the transactions that changed a configuration file, and how. With --diff, also show
every change of its content.`,
		Example: "  cortex file /etc/nginx/nginx.conf\n  sudo cortex file /etc/nginx/nginx.conf --diff",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.file(cmd.Context(), args[0], diff) },
	}
	cmd.Flags().BoolVar(&diff, "diff", false, "show the changed lines (needs root)")
	return cmd
}

func (a *commands) file(ctx context.Context, path string, diff bool) error {
	versions, err := a.FileVersions(ctx, path)
	if err != nil {
		return err
	}
	view := struct {
		Version  int                   `json:"version"`
		Path     string                `json:"path"`
		Versions []history.FileVersion `json:"versions"`
	}{1, path, versions}
	return a.PrintResult(view, func(w io.Writer) {
		for _, v := range versions {
			c := events.FileChange{Path: path, Before: v.Before, After: v.After}
			fmt.Fprintf(w, "%d  %s  %s %s\n", v.Number, v.EndedAt.Local().Format("2006-01-02 15:04"), v.Verb, v.Summary)
			output.FileChanges(w, []events.FileChange{c})
			if diff {
				a.PrintDiffs(w, []events.FileChange{c})
			}
		}
	})
}
