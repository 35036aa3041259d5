package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"cortex/events"
	"cortex/projections"
)

// Reader answers questions. It is safe for concurrent use. A database that is
// missing, damaged or of another version gives errors for which
// [projections.Unreadable] is true.
type Reader struct {
	db      *sql.DB
	checked atomic.Bool
}

// NewReader returns a reader of an open database. It looks at nothing yet.
func NewReader(db *sql.DB) *Reader { return &Reader{db: db} }

// check makes sure, once, that the tables are those this program knows.
func (r *Reader) check(ctx context.Context) error {
	if r.checked.Load() {
		return nil
	}
	if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
		return err
	}
	r.checked.Store(true)
	return nil
}

// Filter selects transactions. The zero Filter selects all.
type Filter struct {
	Package events.PackageName      // asked for, planned or changed
	Since   time.Time               // asked for at or after
	Until   time.Time               // asked for before
	State   events.TransactionState // is in
	Verb    events.Verb             // was asked to
	Before  int                     // with a smaller number, to page on
	Limit   int                     // at most so many; 0 means all
}

const lineColumns = `x.number, x.id, x.verb, x.state, x.requested_at, x.started_at, x.ended_at,
	x.uid, x.user, x.login_uid, x.sudo_user, x.tty, x.program, x.pid, x.words, x.dry_run, x.summary, x.plan_id, x.counts, x.changed,
	x.failure_kind, x.failure_subject, x.failure_message, x.failure_hint, x.target, x.target_number, x.exact, x.residue, x.trail`

// List gives the selected transactions, newest first.
func (r *Reader) List(ctx context.Context, f Filter) ([]Transaction, error) {
	query := `SELECT ` + lineColumns + ` FROM transactions x`
	var where []string
	var args []any
	add := func(condition string, arg any) {
		where, args = append(where, condition), append(args, arg)
	}
	number := "x.number"
	if f.Package != "" {
		// CROSS keeps the order: newest first by the package's own index.
		query = `SELECT ` + lineColumns + ` FROM touches p CROSS JOIN transactions x ON x.number = p.number`
		number = "p.number"
		add("p.name = ?", string(f.Package))
	}
	if !f.Since.IsZero() {
		add("x.requested_at >= ?", f.Since.UnixNano())
	}
	if !f.Until.IsZero() {
		add("x.requested_at < ?", f.Until.UnixNano())
	}
	if f.State != "" {
		if !slices.Contains(events.TransactionStates, f.State) {
			return nil, &events.Error{Op: "history.List", Kind: events.ErrUsage, Subject: fmt.Sprintf("state %q", string(f.State)), Err: errors.New("there is no such state"), Hint: stateHint()}
		}
		// A literal, because a partial index is not used for a parameter.
		where = append(where, "x.state = '"+string(f.State)+"'")
	}
	if f.Verb != "" {
		add("x.verb = ?", string(f.Verb))
	}
	if f.Before > 0 {
		add(number+" < ?", f.Before)
	}
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	query += " ORDER BY " + number + " DESC"
	if f.Limit > 0 {
		query += " LIMIT ?"
		args = append(args, f.Limit)
	}
	return r.lines(ctx, query, args...)
}

func stateHint() string {
	words := make([]string, len(events.TransactionStates))
	for i, s := range events.TransactionStates {
		words[i] = string(s)
	}
	return "states are " + strings.Join(words, ", ")
}

// lines runs a query for lineColumns.
func (r *Reader) lines(ctx context.Context, query string, args ...any) ([]Transaction, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	out := []Transaction{}
	err := r.each(ctx, query, args, func(rows *sql.Rows) error {
		t, err := scanLine(rows)
		if err == nil {
			out = append(out, t)
		}
		return err
	})
	return out, err
}

// each calls f for every row.
func (r *Reader) each(ctx context.Context, query string, args []any, f func(*sql.Rows) error) error {
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return projections.Explain(Name, err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	for rows.Next() {
		if err := f(rows); err != nil {
			return projections.Explain(Name, err)
		}
	}
	return projections.Explain(Name, rows.Err())
}

// scanLine reads lineColumns, and more columns behind them into extra.
func scanLine(rows *sql.Rows, extra ...any) (Transaction, error) {
	var t Transaction
	var requested, started, ended int64
	var counts, residue, trail string
	var failure events.Failure
	var target Reference
	into := append([]any{
		&t.Number, &t.ID, &t.Verb, &t.State, &requested, &started, &ended,
		&t.Actor.UID, &t.Actor.User, &t.Actor.LoginUID, &t.Actor.SudoUser, &t.Actor.TTY, &t.Actor.Program, &t.Actor.PID,
		&t.Words, &t.DryRun, &t.Summary, &t.PlanID, &counts, &t.Changed,
		&failure.Kind, &failure.Subject, &failure.Message, &failure.Hint, &target.ID, &target.Number, &t.Exact, &residue, &trail,
	}, extra...)
	if err := rows.Scan(into...); err != nil {
		return t, err
	}
	t.RequestedAt, t.StartedAt, t.EndedAt = moment(requested), moment(started), moment(ended)
	if failure.Kind != "" {
		t.Failure = &failure
	}
	if target.ID != "" {
		t.Target = &target
	}
	var err error
	t.Counts, err = unpack(counts)
	return t, errors.Join(err, parse(residue, &t.Residue), parse(trail, &t.Compensations))
}

// moment is the inverse of UnixNano; 0 is no time.
func moment(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// parse reads a JSON column; "" leaves the value as it is.
func parse(stored string, into any) error {
	if stored == "" {
		return nil
	}
	return json.Unmarshal([]byte(stored), into)
}

// one runs a query for one line.
func (r *Reader) one(ctx context.Context, missing *events.Error, query string, args ...any) (Transaction, error) {
	found, err := r.lines(ctx, query+" LIMIT 1", args...)
	if err != nil {
		return Transaction{}, err
	}
	if len(found) == 0 {
		return Transaction{}, missing
	}
	return found[0], nil
}

// undoable matches the index of that name.
const undoable = `SELECT ` + lineColumns + ` FROM transactions x WHERE x.ended_position > 0 AND x.changed > 0 AND x.compensated_by = '' AND `

// LastUndoable is what "undo" without a name means: the transaction that was the
// last to change something, is not an undo, and is not undone.
func (r *Reader) LastUndoable(ctx context.Context) (Transaction, error) {
	return r.one(ctx, notFound("history.LastUndoable", "", "there is nothing to undo"),
		undoable+`x.verb <> 'undo' ORDER BY x.ended_position DESC`)
}

// LastRedoable is what "redo" without a name means: the undo that was the last
// to change something and is not redone.
func (r *Reader) LastRedoable(ctx context.Context) (Transaction, error) {
	return r.one(ctx, notFound("history.LastRedoable", "", "there is no undo to redo"),
		undoable+`x.verb = 'undo' ORDER BY x.ended_position DESC`)
}

// ByPlan is the newest transaction that has exactly this plan and waits for a
// yes. When none waits but one did, the error is ErrStale and says what became
// of it.
func (r *Reader) ByPlan(ctx context.Context, id events.PlanID) (Transaction, error) {
	if err := id.Validate(); err != nil {
		return Transaction{}, err
	}
	missing := notFound("history.ByPlan", "plan "+string(id), "no such plan")
	t, err := r.one(ctx, missing, `SELECT `+lineColumns+` FROM transactions x WHERE x.plan_id = ? ORDER BY x.state = ? DESC, x.number DESC`,
		string(id), string(events.StatePlanned))
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

// LaterTouching gives the transactions that changed, after this one did, packages
// that it changed; the newest first.
func (r *Reader) LaterTouching(ctx context.Context, id events.TransactionID) ([]Touch, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	out := []Touch{}
	err := r.each(ctx, `SELECT `+lineColumns+`, later.name, later.arch FROM transactions mine
		JOIN changes c ON c.number = mine.number
		JOIN changes later ON later.name = c.name AND later.arch = c.arch AND later.position > c.position
		JOIN transactions x ON x.number = later.number
		WHERE mine.id = ? ORDER BY later.position DESC, later.name, later.arch`, []any{string(id)}, func(rows *sql.Rows) error {
		var k events.PackageKey
		t, err := scanLine(rows, &k.Name, &k.Arch)
		if err != nil {
			return err
		}
		if len(out) == 0 || out[len(out)-1].Number != t.Number {
			out = append(out, Touch{Transaction: t})
		}
		last := &out[len(out)-1]
		last.Packages = append(last.Packages, k)
		return nil
	})
	return out, err
}

// Parked lists the messages that were given up and not retried, oldest first.
func (r *Reader) Parked(ctx context.Context) ([]Parked, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	out := []Parked{}
	err := r.each(ctx, `SELECT id, position, parked_at, txn, handler, stream, stream_position, event, kind, failure, attempts
		FROM parked WHERE retried_at = 0 ORDER BY position`, nil, func(rows *sql.Rows) error {
		var p Parked
		var at int64
		var failure string
		if err := rows.Scan(&p.ID, &p.Position, &at, &p.Transaction, &p.Handler, &p.Stream, &p.StreamPosition, &p.Event, &p.Kind, &failure, &p.Attempts); err != nil {
			return err
		}
		p.At = moment(at)
		out = append(out, p)
		return parse(failure, &out[len(out)-1].Failure)
	})
	return out, err
}

// Counts tells how much the history holds.
func (r *Reader) Counts(ctx context.Context) (Totals, error) {
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
		func(rows *sql.Rows) error { return rows.Scan(&totals.Parked, &totals.DeadLetters, &totals.Position) })
	return totals, err
}

func notFound(op, subject, what string) *events.Error {
	return &events.Error{Op: op, Kind: events.ErrNotFound, Subject: subject, Err: errors.New(what), Hint: "'cortex history' lists what there is"}
}
