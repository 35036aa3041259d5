package historycmd

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/events"
	"cortex/projections/packages"
)

func newPackages(a *commands) *cobra.Command {
	var at string
	var held, manual, automatic, all bool
	var limit int
	cmd := &cobra.Command{
		Use: "packages [NAME]", Short: "The machine's packages as the log has them, now or at any time", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)),
		Long: `The machine's packages as the log has them, with the transaction that made each what
it is; with --at, as they were then. In NAME * stands for anything.

  cortex packages 'python3*'
  cortex packages --at 2026-11-01 --manual
  cortex packages --at 120 cowsay`,
		ValidArgsFunction: a.CompletePackages,
		RunE: func(cmd *cobra.Command, args []string) error {
			f := packages.Filter{Held: held, Limit: limit, Status: events.StatusInstalled}
			if all {
				f.Status = ""
			}
			if len(args) == 1 {
				f.NamePattern = args[0]
			}
			switch {
			case manual && automatic:
				return cmdutil.UsageError(cmd, errors.New("--manual and --auto exclude each other"))
			case manual:
				f.Mark = packages.MarkManual
			case automatic:
				f.Mark = packages.MarkAuto
			}
			return a.packages(cmd.Context(), f, at)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&at, "at", "", "as they were then: a time, or a position in the log")
	flags.BoolVar(&held, "held", false, "only those on hold")
	flags.BoolVar(&manual, "manual", false, "only those that were asked for")
	flags.BoolVar(&automatic, "auto", false, "only those that came for others")
	flags.BoolVar(&all, "all", false, "also those that are not installed whole")
	flags.IntVarP(&limit, "limit", "n", 0, "at most so many")
	return cmd
}

func (a *commands) packages(ctx context.Context, f packages.Filter, at string) error {
	var list []packages.PackageRow
	ask := func(db *sql.DB) (err error) {
		list, err = packages.NewReader(db).List(ctx, f)
		return err
	}
	err := a.ReadModelAt(ctx, at, packages.Name, ask)
	if err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": packages.FormatVersion, "packages": list}, func(w io.Writer) {
		output.Packages(w, list, time.Local)
	})
}
