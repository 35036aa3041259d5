package transactcmd

import (
	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/events"
)

func newApply(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "apply PLAN-ID", Short: "Run exactly a plan that was shown before", Args: cmdutil.Args(1, 1),
		Long: `Run exactly the plan that --dry-run showed under this id. If the machine has changed so
that the plan would differ, nothing runs and the exit code is 6.`,
		Example:           "  cortex install cowsay --dry-run    shows a plan and its id\n  cortex apply 4356b85bbf9e          runs exactly that plan",
		ValidArgsFunction: a.CompletePlans,
		RunE: func(cmd *cobra.Command, args []string) error {
			ui := a.frontend(ApprovalFlags{ApprovalMode: app.ApprovalMode{ExactPlan: true}})
			out, err := a.ApplyPlan(cmd.Context(), events.PlanID(args[0]), ui)
			return a.finish(cmd.Context(), out, err)
		},
	}
}
