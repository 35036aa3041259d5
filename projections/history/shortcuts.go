package history

import (
	"context"
	"database/sql"
	"fmt"

	"cortex/events"
	"cortex/projections"
)

// undoableQuery has the condition of the index transactions_undoable.
const undoableQuery = `SELECT ` + transactionColumns + ` FROM transactions x WHERE x.ended_position > 0 AND x.changed + x.files + x.settings > 0 AND x.compensated_by = '' AND `

// byPlanQuery has the condition of the index transactions_plan, because SQLite does not
// know that the parameter is not empty.
const byPlanQuery = `SELECT ` + transactionColumns + ` FROM transactions x WHERE x.plan_id <> '' AND x.plan_id = ?`

const laterOverlappingQuery = `SELECT ` + transactionColumns + `, later.name, later.arch FROM transactions mine
	JOIN changes c ON c.number = mine.number
	JOIN changes later ON later.name = c.name AND later.arch = c.arch AND later.position > c.position
	JOIN transactions x ON x.number = later.number
	WHERE mine.id = ? ORDER BY later.position DESC, later.name, later.arch`

const handlerDeadLettersQuery = `SELECT id, position, parked_at, txn, handler, stream, stream_position, event, kind, failure, attempts
	FROM parked WHERE retried_at = 0 ORDER BY position`

// LastUndoable returns the transaction that "undo" without a reference selects: the last
// one that changed something, is not an undo, and is not undone.
func (r *Reader) LastUndoable(ctx context.Context) (TransactionRow, error) {
	return r.queryOne(ctx, notFoundError("history.LastUndoable", "", "no transaction to undo"),
		undoableQuery+`x.verb <> 'undo' AND x.verb <> 'rollback' ORDER BY x.ended_position DESC`)
}

// LastRedoable returns the undo that "redo" without a reference selects: the last one that
// changed something and is not redone.
func (r *Reader) LastRedoable(ctx context.Context) (TransactionRow, error) {
	return r.queryOne(ctx, notFoundError("history.LastRedoable", "", "no undo to redo"),
		undoableQuery+`(x.verb = 'undo' OR x.verb = 'rollback') ORDER BY x.ended_position DESC`)
}

// AwaitingApproval returns the newest transaction with this plan that waits for approval. If
// none waits but one did, the error is ErrStale and names its state.
func (r *Reader) AwaitingApproval(ctx context.Context, id events.PlanID) (TransactionRow, error) {
	if err := id.Validate(); err != nil {
		return TransactionRow{}, err
	}
	missing := notFoundError("history.ByPlan", "plan "+string(id), "unknown plan")
	t, err := r.queryOne(ctx, missing, byPlanQuery+` ORDER BY x.state = 'planned' DESC, x.number DESC`, string(id))
	if err != nil {
		return t, err
	}
	if t.State != events.StatePlanned {
		return t, &events.Error{
			Op: "history.ByPlan", Kind: events.ErrStale, Subject: "plan " + string(id),
			Err: fmt.Errorf("already used by transaction %d, state %s", t.Number, t.State), Hint: "make a new plan",
		}
	}
	return t, nil
}

// LaterOverlapping returns the later transactions that changed packages which the given
// transaction changed, newest first.
func (r *Reader) LaterOverlapping(ctx context.Context, id events.TransactionID) ([]OverlappingTransaction, error) {
	out := []OverlappingTransaction{}
	err := r.tables.Each(ctx, laterOverlappingQuery, []any{string(id)}, func(rows *sql.Rows) error {
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

// HandlerDeadLetters lists the dead letters of handlers that were not retried, oldest first.
func (r *Reader) HandlerDeadLetters(ctx context.Context) ([]HandlerDeadLetter, error) {
	return projections.QueryAll(ctx, r.tables, scanDeadLetter, handlerDeadLettersQuery)
}

func scanDeadLetter(rows *sql.Rows) (d HandlerDeadLetter, err error) {
	var at int64
	var failure string
	if err := rows.Scan(&d.ID, &d.Position, &at, &d.Transaction, &d.Handler, &d.Stream, &d.StreamPosition, &d.EventID, &d.Kind, &failure, &d.Attempts); err != nil {
		return d, err
	}
	d.At = timeFromNanos(at)
	err = parseJSON(failure, &d.Failure)
	return d, err
}

// TransactionTotals counts the rows of the read model.
func (r *Reader) Totals(ctx context.Context) (TransactionTotals, error) {
	totals := TransactionTotals{ByState: map[events.TransactionState]int{}}
	err := r.tables.Each(ctx, `SELECT state, count(*) FROM transactions GROUP BY state`, nil, func(rows *sql.Rows) error {
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
	_, err = r.tables.QueryRow(ctx, `SELECT (SELECT count(*) FROM parked WHERE retried_at = 0), (SELECT count(*) FROM dead_letter), position FROM checkpoint`, nil,
		&totals.HandlerDeadLetters, &totals.ProjectionDeadLetters, &totals.Position)
	return totals, err
}
