package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"cortex/cmd/output"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/blobstore"
	"cortex/events"
	"cortex/projections/history"
)

// maxDiffBytes bounds the content that is compared line by line.
const maxDiffBytes = 1 << 20

func newFile(a *App) *cobra.Command {
	var contents bool
	cmd := &cobra.Command{
		Use: "file PATH", Short: "Which transactions changed a file", Args: CheckArgs(cobra.ExactArgs(1)),
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

func (a *App) file(ctx context.Context, path string, contents bool) error {
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
				a.diff(w, []events.FileChange{c})
			}
		}
	})
}

// ShowDiff shows the contents of changed files line by line, where they may be seen
// and are text. Secret ones are never shown.
func (a *App) diff(w io.Writer, changes []events.FileChange) {
	v, err := blobstore.OpenExisting(a.Settings.BlobStoreDir())
	if err != nil {
		a.Infof("note: contents are shown to root only")
		return
	}
	for _, c := range changes {
		before, ok1 := text(v, c.Before)
		after, ok2 := text(v, c.After)
		if !ok1 || !ok2 || before == after {
			continue
		}
		fmt.Fprintf(w, "%s", indent(string(diff.Diff(c.Path, []byte(before), c.Path, []byte(after)))))
	}
}

// text is a kept content that may be shown.
func text(v *blobstore.Blobs, s events.FileState) (string, bool) {
	switch {
	case s.Kind != events.FileRegular:
		return "", true
	case s.Secret || s.NotStored || s.Size > maxDiffBytes:
		return "", false
	}
	b, err := v.Get(s.Digest, false)
	if err != nil || strings.ContainsRune(string(b), 0) {
		return "", false
	}
	return apt.SanitizeOutput(string(b)), true
}

func indent(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "diff ") {
			b.WriteString("    " + line)
		}
	}
	return b.String()
}
