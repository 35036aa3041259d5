package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"cortex/events"
	"cortex/projections/history"
)

func newUndo(a *App) *cobra.Command {
	return newBack(a, events.VerbUndo, "undo [ID]", "Take a transaction back",
		`Take a transaction back: package versions, states, automatic marks and holds.
Without ID, the newest that changed something and was not undone. The plan is
shown first, with what it cannot bring back. Undoing is a transaction of its own.`)
}

func newRedo(a *App) *cobra.Command {
	return newBack(a, events.VerbRedo, "redo [ID]", "Do again what was undone",
		"Do again what an undo took back: the newest undo, or the undo named by ID.")
}

func newBack(a *App, verb events.Verb, use, short, long string) *cobra.Command {
	var how consent
	var o options
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: some(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeTransactions,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, err := a.target(cmd.Context(), verb, args)
			if err != nil {
				return err
			}
			a.say("%s of transaction %d: %s %s", verb, target.Number, target.Verb, target.Summary)
			return a.transact(cmd.Context(), events.Intent{Verb: verb, Target: target.ID, Options: o.of(a)}, how)
		},
	}
	consentFlags(cmd, &how)
	o.flags(cmd, verb)
	return cmd
}

// target finds what an undo or redo is about.
func (a *App) target(ctx context.Context, verb events.Verb, args []string) (t history.Transaction, err error) {
	err = a.readHistory(ctx, func(r *history.Reader) error {
		var d history.Detail
		switch {
		case len(args) == 1:
			d, err = r.Show(ctx, args[0])
			t = d.Transaction
		case verb == events.VerbUndo:
			t, err = r.LastUndoable(ctx)
		default:
			t, err = r.LastRedoable(ctx)
		}
		return err
	})
	return t, err
}

func newApply(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "apply PLAN-ID", Short: "Run exactly a plan that was shown before", Args: some(cobra.ExactArgs(1)),
		Long:              "Run exactly the plan that --dry-run showed under this id. When the machine has changed so that the plan would be another, nothing runs and the exit code is 6.",
		ValidArgsFunction: a.completePlans,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.apply(cmd.Context(), events.PlanID(args[0]))
		},
	}
}

func (a *App) apply(ctx context.Context, plan events.PlanID) error {
	if err := plan.Validate(); err != nil {
		return err
	}
	var t history.Transaction
	err := a.readHistory(ctx, func(r *history.Reader) (err error) {
		t, err = r.ByPlan(ctx, plan)
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
	c, ping, err := a.connect(ctx)
	if err != nil {
		return err
	}
	return a.run(ctx, session{
		client: c, producer: a.producer(c, ping.Host), ping: ping, consent: consent{apply: true},
		intent: events.Intent{Words: "cortex apply " + string(plan)},
	}, t.ID)
}
