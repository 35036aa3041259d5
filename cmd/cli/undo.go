package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/client"
	"cortex/events"
	"cortex/projections/history"
)

func newUndo(a *App) *cobra.Command {
	return newBack(a, events.VerbUndo, "undo [ID | N..M]…", "Take transactions back",
		`Take transactions back: package versions, states, marks and holds, configuration
files (content, mode, owner, absence), debconf's answers, alternatives, diversions.
Without ID, the newest that changed something and was not undone; last is the newest
that changed something, last-2 the second before it; 4..8 are all from 4 to 8 that can
be undone.

The plan is shown first, with what it cannot bring back. Something that was changed
since stands in the way and is named. Undoing is a transaction of its own.

  cortex undo --dry-run          what would happen, with a diff of every file
  cortex undo 4..8 --cascade     and whatever later transaction stands in the way`)
}

func newRedo(a *App) *cobra.Command {
	return newBack(a, events.VerbRedo, "redo [ID]", "Do again what was undone",
		"Do again what an undo took back: the newest undo, or the undo named by ID.")
}

func newBack(a *App, verb events.Verb, use, short, long string) *cobra.Command {
	var how Approval
	var o options
	args := cobra.MaximumNArgs(1)
	if verb == events.VerbUndo {
		args = cobra.ArbitraryArgs
	}
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: CheckArgs(args),
		ValidArgsFunction: a.CompleteTransactions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.WaitCurrent(cmd.Context()); err != nil {
				return err
			}
			targets, err := a.targets(cmd.Context(), verb, args)
			if err != nil {
				return err
			}
			in := events.Intent{Verb: verb, Target: targets[0].ID, Options: o.of(a)}
			for _, t := range targets {
				if t.ID != in.Target {
					in.AlsoUndo = append(in.AlsoUndo, t.ID)
				}
				a.Infof("%s of transaction %d: %s %s", verb, t.Number, t.Verb, t.Summary)
			}
			return a.back(cmd.Context(), in, how)
		},
	}
	consentFlags(cmd, &how)
	o.flags(cmd, verb)
	return cmd
}

func newRollback(a *App) *cobra.Command {
	var how Approval
	var o options
	var to string
	cmd := &cobra.Command{
		Use: "rollback --to ID|TIME", Short: "Bring everything back to how it was", Args: CheckArgs(cobra.NoArgs),
		Long: `Bring packages, marks, holds, configuration files and settings back to how they
were right after a transaction, or at a time: everything that happened since is
taken back in one plan, what other programs did included as far as it was seen.

  cortex rollback --to 12
  cortex rollback --to 2h        two hours ago; also 2026-11-23, "2026-11-23 14:00"`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return UsageError(cmd, errors.New("say where to: --to ID or --to TIME"))
			}
			if err := a.WaitCurrent(cmd.Context()); err != nil {
				return err
			}
			after, words, err := a.position(cmd.Context(), to)
			if err != nil {
				return err
			}
			a.Infof("rollback to how it was %s", words)
			return a.back(cmd.Context(), events.Intent{Verb: events.VerbRollback, RollbackTo: after, Options: o.of(a)}, how)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "a transaction or a time")
	_ = cmd.RegisterFlagCompletionFunc("to", a.CompleteTransactions)
	consentFlags(cmd, &how)
	o.flags(cmd, events.VerbRollback)
	return cmd
}

// WaitCurrent returns once the history is that of the log and nothing runs: after a
// crash, the newest transaction is not yet what it will be when it was looked into.
func (a *App) WaitCurrent(ctx context.Context) error {
	if !a.HasLog() {
		return a.NoHistory()
	}
	c, _, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	for told := false; ; {
		s, err := c.Status(ctx)
		if err == nil {
			err = c.WaitProjected(ctx, s.Head)
		}
		var runs []history.TransactionRow
		for _, state := range []events.TransactionState{events.StateApproved, events.StateRunning} {
			if err == nil && len(runs) == 0 {
				err = a.ReadHistory(ctx, func(r *history.Reader) (err error) {
					runs, err = r.List(ctx, history.Filter{State: state, Limit: 1})
					return err
				})
			}
		}
		if err != nil || len(runs) == 0 {
			return err
		}
		if !told {
			a.Infof("transaction %d runs; waiting for its end", runs[0].Number)
			told = true
		}
		if err := ended(ctx, c, runs[0].ID); err != nil {
			return err
		}
	}
}

// ended returns when a transaction did.
func ended(ctx context.Context, c *client.Client, id events.TransactionID) error {
	t := &events.Transaction{}
	for l, err := range c.Events(ctx, client.StreamOptions{Transaction: id, Follow: true}) {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case l.Event == nil:
			continue
		case l.Event.Kind == events.KindDeadLettered:
			return deadLetterError(*l.Event)
		}
		if err := t.Apply(*l.Event); err != nil || t.State.Ended() {
			return err
		}
	}
	return ctx.Err()
}

// Position finds the place in the log that a person means.
func (a *App) position(ctx context.Context, to string) (p events.Position, words string, err error) {
	err = a.ReadHistory(ctx, func(r *history.Reader) error {
		d, err := r.Show(ctx, to)
		switch {
		case err == nil && d.EndedPosition == 0:
			return &events.Error{Op: "cli.position", Kind: events.ErrUsage, Subject: fmt.Sprintf("transaction %d", d.Number), Err: fmt.Errorf("it changed nothing: it is %s", d.State), Hint: "see 'cortex history'"}
		case err == nil:
			p, words = d.EndedPosition, fmt.Sprintf("after transaction %d", d.Number)
			return nil
		}
		at, badTime := ParseTime(to)
		if badTime != nil {
			if events.KindOf(err) == events.ErrNotFound {
				return err
			}
			return badTime
		}
		words = "at " + at.Local().Format("2006-01-02 15:04:05")
		p, err = r.PositionAt(ctx, at)
		return err
	})
	return max(p, 1), words, err
}

// back takes an undo, redo or rollback to its end, and offers to hold what went
// back to an older version.
func (a *App) back(ctx context.Context, in events.Intent, how Approval) error {
	if err := in.Validate(); err != nil {
		return err
	}
	how.ShowDiff = how.DryRun
	return a.transact(ctx, in, how)
}

// targets finds what an undo or redo is about.
func (a *App) targets(ctx context.Context, verb events.Verb, args []string) (out []history.TransactionRow, err error) {
	err = a.ReadHistory(ctx, func(r *history.Reader) error {
		if len(args) == 0 {
			newest := r.LastRedoable
			if verb == events.VerbUndo {
				newest = r.LastUndoable
			}
			t, err := newest(ctx)
			out = append(out, t)
			return err
		}
		for _, arg := range args {
			found, err := named(ctx, r, arg)
			if err != nil {
				return err
			}
			out = append(out, found...)
		}
		return nil
	})
	slices.SortFunc(out, func(x, y history.TransactionRow) int { return x.Number - y.Number })
	return slices.CompactFunc(out, func(x, y history.TransactionRow) bool { return x.ID == y.ID }), err
}

// named reads ID or N..M.
func named(ctx context.Context, r *history.Reader, arg string) ([]history.TransactionRow, error) {
	first, last, isRange := strings.Cut(arg, "..")
	if !isRange {
		t, err := r.ResolveChanged(ctx, arg)
		return []history.TransactionRow{t}, err
	}
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	if err1 != nil || err2 != nil || from <= 0 || to < from {
		return nil, &events.Error{Op: "cli.named", Kind: events.ErrUsage, Subject: strconv.Quote(arg), Err: errors.New("not a range of transactions"), Hint: "for example 4..8"}
	}
	all, err := r.List(ctx, history.Filter{Before: to + 1})
	if err != nil {
		return nil, err
	}
	var out []history.TransactionRow
	for _, t := range all {
		if t.Number >= from && t.Undoable() && !t.Verb.Reverts() {
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return nil, &events.Error{Op: "cli.named", Kind: events.ErrNotFound, Subject: arg, Err: errors.New("none of these can be undone"), Hint: "see 'cortex history'"}
	}
	return out, nil
}
