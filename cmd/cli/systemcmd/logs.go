package systemcmd

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/logs"
	"cortex/cmd/output"
)

// levels are the values of --level.
var levels = []string{"debug", "info", "warn", "error"}

func newLogs(a *commands) *cobra.Command {
	var f app.LogFilter
	var failures, timings bool
	cmd := &cobra.Command{
		Use: "logs", Short: "Show the daemon's log", Args: cmdutil.Args(0, 0),
		Long: `Show the daemon's log: its file in the state directory, and the journal if systemd runs the
daemon. For changes of packages, see 'cortex history' and 'cortex events'.`,
		Example: `  cortex logs --since 2h --level warn
  cortex logs --errors
  cortex logs --timings`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timings {
				return a.timings(cmd.Context())
			}
			return a.logs(cmd.Context(), f, failures)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.Since, "since", "", "show records since this time: a date, a time, or an age such as 2h or 7d")
	flags.StringVar(&f.Level, "level", "info", "show records of at least this level: debug, info, warn, error")
	flags.StringVar(&f.OpPrefix, "op", "", "show only operations whose name starts with this")
	flags.BoolVar(&failures, "errors", false, "show each different error once, with its count")
	flags.BoolVar(&timings, "timings", false, "show how long transactions took, by verb")
	_ = cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions(levels, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *commands) logs(ctx context.Context, f app.LogFilter, failures bool) error {
	list, err := a.DaemonLog(ctx, f)
	if err != nil {
		return err
	}
	if failures {
		groups := logs.Summarise(list)
		return a.PrintResult(map[string]any{"version": 1, "errors": groups}, func(w io.Writer) { output.Failures(w, groups, time.Local) })
	}
	return a.PrintResult(map[string]any{"version": 1, "records": list}, func(w io.Writer) { output.Logs(w, list, time.Local) })
}

func (a *commands) timings(ctx context.Context) error {
	list, err := a.Timings(ctx)
	if err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": 1, "timings": list}, func(w io.Writer) { output.Timings(w, list) })
}
