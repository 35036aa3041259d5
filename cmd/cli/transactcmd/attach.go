package transactcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
)

func newAttach(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "attach [ID]", Short: "Reattach to the running transaction", Args: cmdutil.Args(0, 1),
		Long: `Reattach to a transaction that runs, and follow it to its end. Without ID this is the one
that runs now. For a transaction that has ended, show its outcome with the exit code of its
own command.`,
		Example:           "  cortex attach\n  cortex attach 12",
		ValidArgsFunction: a.CompleteTransactions,
		RunE: func(cmd *cobra.Command, args []string) error {
			ref := ""
			if len(args) == 1 {
				ref = args[0]
			}
			out, err := a.Attach(cmd.Context(), ref, a.frontend(ApprovalFlags{}))
			return a.finish(cmd.Context(), out, err)
		},
	}
}
