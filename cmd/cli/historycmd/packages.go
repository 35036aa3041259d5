package historycmd

import (
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
	var manual, automatic, all bool
	f := packages.Filter{Status: events.StatusInstalled}
	cmd := &cobra.Command{
		Use: "packages [NAME]", Short: "List installed packages, now or at a past time", Args: cmdutil.Args(0, 1),
		Long: `List the packages of this machine as the log records them, each with the transaction that
last changed it. With --at, list them as they were at that time. In NAME, * matches
anything.`,
		Example:           "  cortex packages 'python3*'\n  cortex packages --at 2026-11-01 --manual\n  cortex packages --at 120 cowsay",
		ValidArgsFunction: a.CompletePackages,
		RunE: func(cmd *cobra.Command, args []string) error {
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
			list, err := a.Packages(cmd.Context(), f, at)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": packages.FormatVersion, "packages": list}, func(w io.Writer) {
				output.Packages(w, list, time.Local)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&at, "at", "", "list packages as they were at this time or position in the log")
	flags.BoolVar(&f.Held, "held", false, "list packages on hold")
	flags.BoolVar(&manual, "manual", false, "list manually installed packages")
	flags.BoolVar(&automatic, "auto", false, "list automatically installed packages")
	flags.BoolVar(&all, "all", false, "list packages in any state, such as config-files")
	flags.IntVarP(&f.Limit, "limit", "n", 0, "list at most N (0: all)")
	return cmd
}
