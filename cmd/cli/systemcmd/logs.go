package systemcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/logs"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/history"
)

// unit is the daemon's where systemd runs it.
const unit = "cortexd.service"

func newLogs(a *commands) *cobra.Command {
	var since, level, op string
	var failures, timings bool
	cmd := &cobra.Command{
		Use: "logs", Short: "What the daemon says of itself", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `What the daemon says of itself: its file in the state directory, and the journal
where systemd runs it. What happened to packages is in 'cortex history' and
'cortex events'.

  cortex logs --since 2h --level warn
  cortex logs --errors              what went wrong, each once, and how often
  cortex logs --timings             how long installations, removals and so on took`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if timings {
				return a.timings(cmd.Context())
			}
			f := logs.Filter{OpPrefix: op}
			at, err := app.ParseTime(since)
			if err != nil {
				return err
			}
			f.Since = at
			if err := f.MinLevel.UnmarshalText([]byte(level)); err != nil {
				return cmdutil.UsageError(cmd, fmt.Errorf("--level %s: there are debug, info, warn and error", level))
			}
			return a.logs(cmd.Context(), f, failures)
		},
	}
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "only from then on: a date, a time, or a span such as 2h or 7d")
	f.StringVar(&level, "level", "info", "at least debug, info, warn or error")
	f.StringVar(&op, "op", "", "only of operations that begin so, such as broker or apt.Run")
	f.BoolVar(&failures, "errors", false, "group what went wrong")
	f.BoolVar(&timings, "timings", false, "how long transactions took, from the history")
	_ = cmd.RegisterFlagCompletionFunc("level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *commands) logs(ctx context.Context, f logs.Filter, failures bool) error {
	var list []logs.Entry
	for _, source := range []iter.Seq2[logs.Entry, error]{logs.ReadFiles(a.Settings.LogFile(), f), a.journal(ctx, f)} {
		for e, err := range source {
			if errors.Is(err, fs.ErrPermission) {
				return &events.Error{Op: "cli.logs", Kind: events.ErrConfirmation, Subject: a.Settings.LogFile(), Err: fs.ErrPermission, Hint: "run: sudo cortex logs"}
			}
			if err != nil {
				return &events.Error{Op: "cli.logs", Kind: events.ErrUnavailable, Subject: a.Settings.LogFile(), Err: err}
			}
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(x, y logs.Entry) int { return x.Time.Compare(y.Time) })
	if failures {
		groups := logs.Summarise(list)
		return a.PrintResult(map[string]any{"version": 1, "errors": groups}, func(w io.Writer) { output.Failures(w, groups, time.Local) })
	}
	return a.PrintResult(map[string]any{"version": 1, "records": list}, func(w io.Writer) { output.Logs(w, list, time.Local) })
}

// journal reads the daemon's records from systemd's journal, where there is one.
func (a *commands) journal(ctx context.Context, f logs.Filter) iter.Seq2[logs.Entry, error] {
	return func(yield func(logs.Entry, error) bool) {
		if !app.PathExists(filepath.Join(a.Settings.Root, "run/systemd/system")) || !a.Settings.IsSystem() {
			return
		}
		args := []string{"--unit", unit, "--output", "cat", "--no-pager", "--quiet"}
		if !f.Since.IsZero() {
			args = append(args, "--since", f.Since.Local().Format(time.DateTime))
		}
		cmd := exec.CommandContext(ctx, "/usr/bin/journalctl", args...)
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			return // no journal
		}
		defer func() { _ = cmd.Wait() }()
		defer out.Close()
		for e, err := range logs.Read(out, f) {
			if !yield(e, err) {
				return
			}
		}
	}
}

func (a *commands) timings(ctx context.Context) error {
	var list []history.Timing
	err := a.ReadHistory(ctx, func(r *history.Reader) (err error) {
		list, err = r.Timings(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": 1, "timings": list}, func(w io.Writer) { output.Timings(w, list) })
}

// newLogger writes the daemon's records to stderr, which is the daemon's file or
// the journal.
func (a *commands) newLogger() *slog.Logger { return slog.New(logs.NewHandler(a.Stderr)) }
