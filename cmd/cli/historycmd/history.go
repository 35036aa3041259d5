package historycmd

import (
	"database/sql"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/history"
)

func newHistory(a *commands) *cobra.Command {
	var pkg, since, until, state, at string
	var limit int
	cmd := &cobra.Command{
		Use: "history", Short: "List transactions, newest last", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := history.Filter{State: events.TransactionState(state)}
			if limit > 0 {
				f.Limit = limit + 1 // one more, to see that there is more
			}
			var err error
			if f.Since, err = app.ParseTime(since); err != nil {
				return err
			}
			if f.Until, err = app.ParseTime(until); err != nil {
				return err
			}
			if pkg != "" {
				ref, err := events.ParsePackageRef(pkg)
				if err != nil {
					return err
				}
				f.Package = ref.Name
			}
			if err := app.CheckState(f.State); err != nil {
				return err
			}
			var list []history.TransactionRow
			err = a.ReadModelAt(cmd.Context(), at, history.Name, func(db *sql.DB) error {
				list, err = history.NewReader(db).List(cmd.Context(), f)
				return err
			})
			if err != nil && !a.HasLog() { // a machine without a history has an empty one
				err = nil
			}
			if err != nil {
				return err
			}
			if list == nil {
				list = []history.TransactionRow{}
			}
			if limit > 0 && len(list) > limit {
				list = list[:limit]
				a.Infof("only the newest %d; '-n 0' shows all", limit)
			}
			return a.PrintResult(map[string]any{"version": history.FormatVersion, "transactions": list}, func(w io.Writer) {
				output.History(w, list, time.Local)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&pkg, "package", "", "only those that concern this package")
	f.StringVar(&since, "since", "", "only those asked for since: a date, a time, or a span such as 2h or 7d")
	f.StringVar(&until, "until", "", "only those asked for before")
	f.StringVar(&at, "at", "", "as the history was then: a time, or a position in the log")
	f.StringVar(&state, "status", "", "only those in this state: succeeded, failed, planned, …")
	f.IntVarP(&limit, "limit", "n", 50, "at most so many, the newest; 0 for all")
	_ = cmd.RegisterFlagCompletionFunc("status", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var out []string
		for _, s := range events.TransactionStates {
			out = append(out, string(s))
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.RegisterFlagCompletionFunc("package", a.CompletePackages)
	return cmd
}

func newShow(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show everything about one transaction", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long:              "Show everything about one transaction: who asked, when, in what words, the plan, every package that changed, and each step with its output.\n\nID is a number from 'cortex history', last, last-N, the start of a UUID, or a plan id.",
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
