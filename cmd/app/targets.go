package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cortex/cmd/client"
	"cortex/events"
	"cortex/projections/history"
)

// WaitCurrent returns once the read models show the whole log and no transaction runs.
// After a crash, the newest transaction gets its final state only then.
func (s *Service) WaitCurrent(ctx context.Context) error {
	if !s.HasLog() {
		return s.NoHistory()
	}
	c, _, err := s.Connect(ctx)
	if err != nil {
		return err
	}
	for noted := false; ; noted = true {
		status, err := c.Status(ctx)
		if err == nil {
			err = c.WaitProjected(ctx, status.Head)
		}
		if err != nil {
			return err
		}
		running, err := s.running(ctx)
		if err != nil || running == nil {
			return err
		}
		if !noted {
			s.Note(fmt.Sprintf("transaction %d is running; waiting for its end", running.Number))
		}
		if err := awaitEnd(ctx, c, running.ID); err != nil {
			return err
		}
	}
}

// running returns a transaction that is approved or running, nil if there is none.
func (s *Service) running(ctx context.Context) (found *history.TransactionRow, err error) {
	err = s.ReadHistory(ctx, func(r *history.Reader) error {
		for _, state := range []events.TransactionState{events.StateApproved, events.StateRunning} {
			list, err := r.List(ctx, history.Filter{State: state, Limit: 1})
			if err != nil {
				return err
			}
			if len(list) > 0 {
				found = &list[0]
				return nil
			}
		}
		return nil
	})
	return found, err
}

// awaitEnd returns when a transaction has ended.
func awaitEnd(ctx context.Context, c *client.Client, id events.TransactionID) error {
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

// RollbackPosition finds the position in the log that a person means by a transaction or a
// time, and describes it.
func (s *Service) RollbackPosition(ctx context.Context, to string) (p events.Position, description string, err error) {
	err = s.ReadHistory(ctx, func(r *history.Reader) error {
		d, err := r.Show(ctx, to)
		switch {
		case err == nil && d.EndedPosition == 0:
			return &events.Error{
				Op: "app.RollbackPosition", Kind: events.ErrUsage, Subject: fmt.Sprintf("transaction %d", d.Number),
				Err: fmt.Errorf("it changed nothing (%s)", d.State), Hint: "see 'cortex history'",
			}
		case err == nil:
			p, description = d.EndedPosition, fmt.Sprintf("after transaction %d", d.Number)
			return nil
		}
		at, badTime := ParseTime(to)
		if badTime != nil {
			if events.KindOf(err) == events.ErrNotFound {
				return err
			}
			return badTime
		}
		description = "at " + at.Local().Format("2006-01-02 15:04:05")
		p, err = r.PositionAt(ctx, at)
		return err
	})
	return max(p, 1), description, err
}

// UndoTargets finds the transactions that an undo or redo takes back, oldest first: those
// that the arguments name, otherwise the newest possible one.
func (s *Service) UndoTargets(ctx context.Context, verb events.Verb, args []string) (out []history.TransactionRow, err error) {
	err = s.ReadHistory(ctx, func(r *history.Reader) error {
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
			found, err := transactionsNamed(ctx, r, arg)
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

// transactionsNamed resolves ID or N..M.
func transactionsNamed(ctx context.Context, r *history.Reader, arg string) ([]history.TransactionRow, error) {
	first, last, isRange := strings.Cut(arg, "..")
	if !isRange {
		t, err := r.ResolveChanged(ctx, arg)
		return []history.TransactionRow{t}, err
	}
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	if err1 != nil || err2 != nil || from <= 0 || to < from {
		return nil, &events.Error{Op: "app.UndoTargets", Kind: events.ErrUsage, Subject: strconv.Quote(arg), Err: errors.New("not a range of transactions"), Hint: "for example 4..8"}
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
		return nil, &events.Error{Op: "app.UndoTargets", Kind: events.ErrNotFound, Subject: arg, Err: errors.New("no transaction in this range can be undone"), Hint: "see 'cortex history'"}
	}
	return out, nil
}
