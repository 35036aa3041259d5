package systemcmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/history"
)

func newReplay(a *commands) *cobra.Command {
	var verify bool
	var until, into string
	cmd := &cobra.Command{
		Use: "replay [PROJECTION]", Short: "Rebuild the read models from the log", Args: cmdutil.Args(0, 1),
		Long: `Rebuild the read models, or one of them, from the log. Readers see the old read model until the
new one is complete. With --verify, compare a rebuild with the read model in use instead; the
exit code is 1 if they differ.

With --until and --into, write a read model (default: history) as it was at a position or time
into a new SQLite file.`,
		Example:   "  cortex replay --verify\n  cortex replay packages --until 2026-11-01 --into packages.db",
		ValidArgs: []string{"history", "packages", "hardware", "audit"},
		RunE: func(cmd *cobra.Command, args []string) error {
			name := append(args, "")[0]
			switch {
			case until == "" && into == "":
				return a.replay(cmd.Context(), name, verify)
			case verify:
				return cmdutil.UsageError(cmd, errors.New("--verify cannot be combined with --until and --into"))
			case until == "" || into == "":
				return cmdutil.UsageError(cmd, errors.New("--until and --into must be combined"))
			}
			return a.replayInto(cmd.Context(), cmp.Or(name, history.Name), until, into)
		},
	}
	cmd.Flags().BoolVar(&verify, "verify", false, "compare, and do not replace")
	cmd.Flags().StringVar(&until, "until", "", "stop at this position or time")
	cmd.Flags().StringVar(&into, "into", "", "write into this new file")
	return cmd
}

func (a *commands) replay(ctx context.Context, name string, verify bool) error {
	done, err := a.Replay(ctx, name, verify)
	if err != nil {
		return err
	}
	differs := false
	for _, d := range done {
		differs = differs || len(d.Differences) > 0
	}
	if err := a.PrintResult(map[string]any{"version": 1, "replayed": done}, func(w io.Writer) { output.ReplayResults(w, done) }); err != nil || !differs {
		return err
	}
	if a.JSON {
		return iostreams.ExitCode(1)
	}
	return &events.Error{Op: "cli", Kind: events.ErrCorrupt, Err: errors.New("a read model does not match the log"), Hint: "to rebuild it: cortex replay"}
}

// replayInto writes a read model as it was into a new file.
func (a *commands) replayInto(ctx context.Context, name, until, into string) error {
	i, err := app.ParseInstant(until)
	if err != nil {
		return err
	}
	at, err := a.ReplayInto(ctx, name, i, into)
	if err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": 1, "projection": name, "position": at.Position, "file": into}, func(w io.Writer) {
		fmt.Fprintf(w, "%s as of event %d written into %s\n", name, at.Position, into)
	})
}
