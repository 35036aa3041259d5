package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"cortex/events"
	"cortex/projections/history"
)

func newApply(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "apply PLAN-ID", Short: "Run exactly a plan that was shown before", Args: CheckArgs(cobra.ExactArgs(1)),
		Long:              "Run exactly the plan that --dry-run showed under this id. When the machine has changed so that the plan would be another, nothing runs and the exit code is 6.",
		ValidArgsFunction: a.CompletePlans,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.apply(cmd.Context(), events.PlanID(args[0]))
		},
	}
}

func (a *App) apply(ctx context.Context, plan events.PlanID) error {
	if err := plan.Validate(); err != nil {
		return err
	}
	var t history.TransactionRow
	err := a.ReadHistory(ctx, func(r *history.Reader) (err error) {
		t, err = r.AwaitingApproval(ctx, plan)
		return err
	})
	if err != nil {
		return err
	}
	if t.State != events.StatePlanned {
		return &events.Error{
			Op: "cli.apply", Kind: events.ErrConflict, Subject: "plan " + string(plan),
			Err: fmt.Errorf("transaction %d, which holds it, is %s already", t.Number, t.State), Hint: fmt.Sprintf("see 'cortex show %d'", t.Number),
		}
	}
	c, ping, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	return a.run(ctx, follower{
		client: c, producer: a.Producer(c, ping.Host), ping: ping, consent: Approval{ExactPlan: true},
		intent: events.Intent{CommandLine: "cortex apply " + string(plan)},
	}, t.ID)
}
