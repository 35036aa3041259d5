package transactcmd

import (
	"errors"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/events"
)

func newUndo(a *commands) *cobra.Command {
	cmd := newRevert(a, events.VerbUndo, "undo [ID | N..M]…", "Undo transactions")
	cmd.Long = `Undo transactions: package versions, states, marks and holds; configuration files with
content, mode and owner; debconf answers, alternatives and diversions.

Cortex shows the plan first, with everything that it cannot restore. Something that was
changed after the transaction is a conflict, and the plan names it. An undo is a
transaction of its own.`
	cmd.Example = `  cortex undo                    the newest change that is not undone yet
  cortex undo last               the newest change
  cortex undo last-2             the second change before it
  cortex undo 4..8               every change from 4 to 8 that can be undone
  cortex undo --dry-run          what would happen, with a diff of every file
  cortex undo 4..8 --cascade     also undo later transactions that conflict`
	return cmd
}

func newRedo(a *commands) *cobra.Command {
	cmd := newRevert(a, events.VerbRedo, "redo [ID]", "Redo what was undone")
	cmd.Long = "Redo what an undo took back: the newest undo, or the undo that ID names."
	cmd.Example = "  cortex redo                    the newest undo\n  cortex redo 7 --dry-run"
	return cmd
}

func newRevert(a *commands, verb events.Verb, use, short string) *cobra.Command {
	var how ApprovalFlags
	var o PlanFlags
	args := cmdutil.Args(0, 1)
	if verb == events.VerbUndo {
		args = cmdutil.Args(0, cmdutil.AnyNumber)
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: args,
		ValidArgsFunction: a.CompleteTransactions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.WaitCurrent(cmd.Context()); err != nil {
				return err
			}
			targets, err := a.UndoTargets(cmd.Context(), verb, args)
			if err != nil {
				return err
			}
			in := events.Intent{Verb: verb, Target: targets[0].ID, Options: o.Resolve(a.Context)}
			for _, t := range targets {
				if t.ID != in.Target {
					in.AlsoUndo = append(in.AlsoUndo, t.ID)
				}
				a.Infof("%s of transaction %d: %s %s", verb, t.Number, t.Verb, t.Summary)
			}
			return a.revert(cmd, in, how)
		},
	}
	how.Flags(cmd)
	o.Flags(cmd, verb)
	return cmd
}

func newRollback(a *commands) *cobra.Command {
	var how ApprovalFlags
	var o PlanFlags
	var to string
	cmd := &cobra.Command{
		Use: "rollback --to ID|TIME", Short: "Return to the state at a transaction or time", Args: cmdutil.Args(0, 0),
		Long: `Return packages, marks, holds, configuration files and settings to their state right after
a transaction, or at a time. One plan undoes everything that happened since, including
changes made outside cortex as far as they were recorded.`,
		Example: `  cortex rollback --to 12
  cortex rollback --to 2h        two hours ago; also 2026-11-23, "2026-11-23 14:00"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return cmdutil.UsageError(cmd, errors.New("--to is missing: name a transaction or a time"))
			}
			if err := a.WaitCurrent(cmd.Context()); err != nil {
				return err
			}
			after, description, err := a.RollbackPosition(cmd.Context(), to)
			if err != nil {
				return err
			}
			a.Infof("rollback to the state %s", description)
			return a.revert(cmd, events.Intent{Verb: events.VerbRollback, RollbackTo: after, Options: o.Resolve(a.Context)}, how)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "return to the state after this transaction, or at this time (required)")
	_ = cmd.RegisterFlagCompletionFunc("to", a.CompleteTransactions)
	how.Flags(cmd)
	o.Flags(cmd, events.VerbRollback)
	return cmd
}

// revert runs an undo, redo or rollback. A dry run shows diffs.
func (a *commands) revert(cmd *cobra.Command, in events.Intent, how ApprovalFlags) error {
	if err := in.Validate(); err != nil {
		return err
	}
	how.ShowDiff = how.DryRun
	return a.transact(cmd.Context(), in, how)
}
