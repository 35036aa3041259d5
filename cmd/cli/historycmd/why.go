package historycmd

import (
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/producers/intent"
)

func newWhy(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "why PACKAGE", Short: "Show why a package is installed", Args: cmdutil.Args(1, 1),
		Long: `Show why a package is installed: the transaction that installed it, the user and the command,
and the chain of dependencies from a manually installed package.`,
		Example:           "  cortex why libgd3",
		ValidArgsFunction: a.CompletePackages,
		RunE: func(cmd *cobra.Command, args []string) error {
			refs, err := intent.ParsePackages(args)
			if err != nil {
				return err
			}
			why, err := a.Why(cmd.Context(), refs[0].Name)
			if err != nil {
				return err
			}
			return a.PrintResult(why, func(w io.Writer) { output.Reason(w, why) })
		},
	}
}
