package historycmd

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/history"
)

func newFile(a *commands) *cobra.Command {
	var contents bool
	cmd := &cobra.Command{
		Use: "file PATH", Short: "Which transactions changed a file", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Which transactions changed a configuration file, and how. With --diff, and as root,
every change of its content.

  cortex file /etc/nginx/nginx.conf --diff`,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			return a.file(cmd.Context(), path, contents)
		},
	}
	cmd.Flags().BoolVar(&contents, "diff", false, "show what changed in it; needs root")
	return cmd
}

func (a *commands) file(ctx context.Context, path string, contents bool) error {
	if err := events.ValidatePath(path); err != nil {
		return &events.Error{Op: "cli.file", Kind: events.ErrUsage, Subject: path, Err: err}
	}
	var versions []history.FileVersion
	err := a.ReadHistory(ctx, func(r *history.Reader) (err error) {
		versions, err = r.FileVersions(ctx, path)
		return err
	})
	if err != nil {
		return err
	}
	if len(versions) == 0 {
		return &events.Error{Op: "cli.file", Kind: events.ErrNotFound, Subject: path, Err: fmt.Errorf("no transaction on record changed it"), Hint: "only what is under /etc, and configuration files elsewhere, is watched"}
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
			if contents {
				a.PrintDiffs(w, []events.FileChange{c})
			}
		}
	})
}
