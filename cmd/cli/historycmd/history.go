package historycmd

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/history"
)

// historyFlags are the flags of 'cortex history'.
type historyFlags struct {
	pkg, since, until, state, at string
	limit                        int
}

func newHistory(a *commands) *cobra.Command {
	var o historyFlags
	cmd := &cobra.Command{
		Use: "history", Short: "List transactions, newest last", Args: cmdutil.Args(0, 0),
		Example: "  cortex history --package nginx\n  cortex history --status failed --since 7d\n  cortex history --at '2026-11-20 18:00'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.history(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.pkg, "package", "", "show transactions that concern this package")
	f.StringVar(&o.since, "since", "", "show transactions requested since this time: a date, a time, or an age such as 2h or 7d")
	f.StringVar(&o.until, "until", "", "show transactions requested before this time")
	f.StringVar(&o.at, "at", "", "show the history as it was at this time or position in the log")
	f.StringVar(&o.state, "status", "", "show transactions in this state: succeeded, failed, planned, …")
	f.IntVarP(&o.limit, "limit", "n", 50, "show at most N, newest first (0: all)")
	_ = cmd.RegisterFlagCompletionFunc("status", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return app.StateNames(), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.RegisterFlagCompletionFunc("package", a.CompletePackages)
	return cmd
}

// filter checks the flags and returns the filter of the read model.
func (o historyFlags) filter() (f history.Filter, err error) {
	if f.Since, err = app.ParseTime(o.since); err != nil {
		return f, err
	}
	if f.Until, err = app.ParseTime(o.until); err != nil {
		return f, err
	}
	if o.pkg != "" {
		ref, err := events.ParsePackageRef(o.pkg)
		if err != nil {
			return f, err
		}
		f.Package = ref.Name
	}
	if o.limit > 0 {
		f.Limit = o.limit + 1 // the extra one shows that there are more
	}
	f.State = events.TransactionState(o.state)
	return f, app.CheckState("--status", o.state)
}

func (a *commands) history(ctx context.Context, o historyFlags) error {
	f, err := o.filter()
	if err != nil {
		return err
	}
	list, err := a.History(ctx, f, o.at)
	if err != nil {
		return err
	}
	if o.limit > 0 && len(list) > o.limit {
		list = list[:o.limit]
		a.Infof("only the newest %d are shown; to show all: cortex history -n 0", o.limit)
	}
	return a.PrintResult(map[string]any{"version": history.FormatVersion, "transactions": list}, func(w io.Writer) {
		output.History(w, list, time.Local)
	})
}

func newShow(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one transaction in full", Args: cmdutil.Args(1, 1),
		Long: `Show one transaction in full: the user, the time, the command, the plan, every package that
changed, and each step with its output.

ID is a number from 'cortex history', last, last-N, the start of a UUID, or a plan id.`,
		Example:           "  cortex show last\n  cortex show 12 --json",
		ValidArgsFunction: a.CompleteTransactions,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := a.ResolveTransaction(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": history.FormatVersion, "transaction": d}, func(w io.Writer) {
				output.TransactionDetail(w, d, time.Local)
			})
		},
	}
}
