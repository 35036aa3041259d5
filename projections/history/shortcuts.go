package history

import (
	"context"
	"database/sql"
	"fmt"

	"cortex/events"
)

// undoableQuery matches the index of that name.
const undoableQuery = `SELECT ` + transactionColumns + ` FROM transactions x WHERE x.ended_position > 0 AND x.changed + x.files + x.settings > 0 AND x.compensated_by = '' AND `

// byPlanQuery matches the index of plans: SQLite does not see that a parameter is not
// empty.
const byPlanQuery = `SELECT ` + transactionColumns + ` FROM transactions x WHERE x.plan_id <> '' AND x.plan_id = ?`

const laterOverlappingQuery = `SELECT ` + transactionColumns + `, later.name, later.arch FROM transactions mine
	JOIN changes c ON c.number = mine.number
	JOIN changes later ON later.name = c.name AND later.arch = c.arch AND later.position > c.position
	JOIN transactions x ON x.number = later.number
	WHERE mine.id = ? ORDER BY later.position DESC, later.name, later.arch`

const handlerDeadLettersQuery = `SELECT id, position, parked_at, txn, handler, stream, stream_position, event, kind, failure, attempts
	FROM parked WHERE retried_at = 0 ORDER BY position`

// LastUndoable is what "undo" without a name means: the transaction that was the
// last to change something, is not an undo, and is not undone.
func (r *Reader) LastUndoable(ctx context.Context) (TransactionRow, error) {
	return r.queryOne(ctx, notFoundError("history.LastUndoable", "", "there is nothing to undo"),
		undoableQuery+`x.verb <> 'undo' AND x.verb <> 'rollback' ORDER BY x.ended_position DESC`)
}

// LastRedoable is what "redo" without a name means: the undo that was the last
// to change something and is not redone.
func (r *Reader) LastRedoable(ctx context.Context) (TransactionRow, error) {
	return r.queryOne(ctx, notFoundError("history.LastRedoable", "", "there is no undo to redo"),
		undoableQuery+`(x.verb = 'undo' OR x.verb = 'rollback') ORDER BY x.ended_position DESC`)
}

// AwaitingApproval is the newest transaction that has exactly this plan and waits for a
// yes. When none waits but one did, the error is ErrStale and says what became
// of it.
func (r *Reader) AwaitingApproval(ctx context.Context, id events.PlanID) (TransactionRow, error) {
	if err := id.Validate(); err != nil {
		return TransactionRow{}, err
	}
	missing := notFoundError("history.ByPlan", "plan "+string(id), "no such plan")
	t, err := r.queryOne(ctx, missing, byPlanQuery+` ORDER BY x.state = 'planned' DESC, x.number DESC`, string(id))
	if err != nil {
		return t, err
	}
	if t.State != events.StatePlanned {
		return t, &events.Error{
			Op: "history.ByPlan", Kind: events.ErrStale, Subject: "plan " + string(id),
			Err: fmt.Errorf("transaction %d with this plan is %s already", t.Number, t.State), Hint: "make a new plan",
		}
	}
	return t, nil
}

// LaterOverlapping gives the transactions that changed, after this one did, packages
// that it changed; the newest first.
func (r *Reader) LaterOverlapping(ctx context.Context, id events.TransactionID) ([]OverlappingTransaction, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	out := []OverlappingTransaction{}
	err := r.each(ctx, laterOverlappingQuery, []any{string(id)}, func(rows *sql.Rows) error {
		var k events.PackageKey
		t, err := scanTransaction(rows, &k.Name, &k.Arch)
		if err != nil {
			return err
		}
		if len(out) == 0 || out[len(out)-1].Number != t.Number {
			out = append(out, OverlappingTransaction{TransactionRow: t})
		}
		last := &out[len(out)-1]
		last.Packages = append(last.Packages, k)
		return nil
	})
	return out, err
}

// HandlerDeadLetters lists the messages that were given up and not retried, oldest first.
func (r *Reader) HandlerDeadLetters(ctx context.Context) ([]HandlerDeadLetter, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	out := []HandlerDeadLetter{}
	err := r.each(ctx, handlerDeadLettersQuery, nil, func(rows *sql.Rows) error {
		var p HandlerDeadLetter
		var at int64
		var failure string
		if err := rows.Scan(&p.ID, &p.Position, &at, &p.Transaction, &p.Handler, &p.Stream, &p.StreamPosition, &p.EventID, &p.Kind, &failure, &p.Attempts); err != nil {
			return err
		}
		p.At = timeFromNanos(at)
		out = append(out, p)
		return parseJSON(failure, &out[len(out)-1].Failure)
	})
	return out, err
}

// Totals tells how much the history holds.
func (r *Reader) Totals(ctx context.Context) (Totals, error) {
	totals := Totals{ByState: map[events.TransactionState]int{}}
	if err := r.check(ctx); err != nil {
		return totals, err
	}
	err := r.each(ctx, `SELECT state, count(*) FROM transactions GROUP BY state`, nil, func(rows *sql.Rows) error {
		var state events.TransactionState
		var n int
		if err := rows.Scan(&state, &n); err != nil {
			return err
		}
		totals.ByState[state] = n
		totals.Transactions += n
		return nil
	})
	if err != nil {
		return totals, err
	}
	err = r.each(ctx, `SELECT (SELECT count(*) FROM parked WHERE retried_at = 0), (SELECT count(*) FROM dead_letter), position FROM checkpoint`, nil,
		func(rows *sql.Rows) error {
			return rows.Scan(&totals.HandlerDeadLetters, &totals.ProjectionDeadLetters, &totals.Position)
		})
	return totals, err
}
