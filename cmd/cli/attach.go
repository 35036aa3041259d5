package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"cortex/events"
	"cortex/projections/history"
)

func newAttach(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "attach [ID]", Short: "Go back to a transaction that runs", Args: CheckArgs(cobra.MaximumNArgs(1)),
		Long: `Go back to a transaction that runs, and follow it to its end as if it had not been
left; without ID to the one that runs now. Of one that ended the outcome is told, with
the exit code that its own command had.

  cortex attach
  cortex attach 12`,
		ValidArgsFunction: a.CompleteTransactions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.attach(cmd.Context(), args[0])
			}
			return a.attach(cmd.Context(), "")
		},
	}
}

func (a *App) attach(ctx context.Context, ref string) error {
	c, ping, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	t, err := a.toAttach(ctx, ref)
	if err != nil {
		return err
	}
	s := follower{client: c, producer: a.Producer(c, ping.Host), ping: ping, intent: events.Intent{CommandLine: t.CommandLine}, attached: true}
	return a.follow(ctx, s, t.ID, &events.Transaction{}, true)
}

// toAttach finds the transaction: the one named, or the newest that runs. One that
// waits for a yes cannot be followed, for nobody gives it.
func (a *App) toAttach(ctx context.Context, ref string) (history.TransactionRow, error) {
	if ref != "" {
		d, err := a.ResolveTransaction(ctx, ref)
		if err == nil && d.State == events.StatePlanned {
			err = &events.Error{
				Op: "cli.attach", Kind: events.ErrConfirmation, Subject: fmt.Sprintf("transaction %d", d.Number),
				Err: errors.New("it waits for a yes"), Hint: fmt.Sprintf("'cortex apply %s' gives it", d.PlanID),
			}
		}
		return d.TransactionRow, err
	}
	for _, state := range []events.TransactionState{events.StateRunning, events.StateApproved} {
		var list []history.TransactionRow
		err := a.ReadHistory(ctx, func(r *history.Reader) (err error) {
			list, err = r.List(ctx, history.Filter{State: state, Limit: 1})
			return err
		})
		if err != nil || len(list) > 0 {
			return append(list, history.TransactionRow{})[0], err
		}
	}
	return history.TransactionRow{}, &events.Error{Op: "cli.attach", Kind: events.ErrNotFound, Err: errors.New("nothing runs"), Hint: "'cortex history' lists what there is; 'cortex attach ID' tells how one of them ended"}
}
