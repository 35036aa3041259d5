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

const transactionColumns = `x.number, x.id, x.verb, x.state, x.requested_at, x.started_at, x.ended_at,
	x.uid, x.user, x.login_uid, x.sudo_user, x.tty, x.program, x.pid, x.words, x.dry_run, x.summary, x.plan_id, x.counts, x.changed, x.files, x.settings, x.ended_position,
	x.failure_kind, x.failure_subject, x.failure_message, x.failure_hint, x.target, x.target_number, x.exact, x.residue, x.trail`

// List gives the selected transactions, newest first.
func (r *Reader) List(ctx context.Context, f Filter) ([]TransactionRow, error) {
	if f.State != "" && !slices.Contains(events.TransactionStates, f.State) {
		return nil, &events.Error{Op: "history.List", Kind: events.ErrUsage, Subject: fmt.Sprintf("state %q", string(f.State)), Err: errors.New("there is no such state"), Hint: stateHint()}
	}
	query, args := f.sql()
	return r.queryTransactions(ctx, query, args...)
}

// sql selects by a filter whose state is one of ours.
func (f Filter) sql() (string, []any) {
	query := `SELECT ` + transactionColumns + ` FROM transactions x`
	var where []string
	var args []any
	add := func(condition string, arg ...any) {
		where, args = append(where, condition), append(args, arg...)
	}
	number := "x.number"
	if f.Package != "" {
		// CROSS keeps the order: newest first by the package's own index.
		query = `SELECT ` + transactionColumns + ` FROM touches p CROSS JOIN transactions x ON x.number = p.number`
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
		// A literal, because a partial index is not used for a parameter.
		add("x.state = '" + string(f.State) + "'")
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
	return query, args
}

func stateHint() string {
	words := make([]string, len(events.TransactionStates))
	for i, s := range events.TransactionStates {
		words[i] = string(s)
	}
	return "states are " + strings.Join(words, ", ")
}

// queryTransactions runs a query for transactionColumns.
func (r *Reader) queryTransactions(ctx context.Context, query string, args ...any) ([]TransactionRow, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	out := []TransactionRow{}
	err := r.each(ctx, query, args, func(rows *sql.Rows) error {
		t, err := scanTransaction(rows)
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
		return projections.WrapError(Name, err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	for rows.Next() {
		if err := f(rows); err != nil {
			return projections.WrapError(Name, err)
		}
	}
	return projections.WrapError(Name, rows.Err())
}

// scanTransaction reads transactionColumns, and more columns behind them into extra.
func scanTransaction(rows *sql.Rows, extra ...any) (TransactionRow, error) {
	var t TransactionRow
	var requested, started, ended int64
	var counts, residue, trail string
	var failure events.Failure
	var target TransactionRef
	into := append([]any{
		&t.Number, &t.ID, &t.Verb, &t.State, &requested, &started, &ended,
		&t.Actor.UID, &t.Actor.User, &t.Actor.LoginUID, &t.Actor.SudoUser, &t.Actor.TTY, &t.Actor.Program, &t.Actor.PID,
		&t.CommandLine, &t.DryRun, &t.Summary, &t.PlanID, &counts, &t.PackagesChanged, &t.FilesChanged, &t.SettingsChanged, &t.EndedPosition,
		&failure.Kind, &failure.Subject, &failure.Message, &failure.Hint, &target.ID, &target.Number, &t.Exact, &residue, &trail,
	}, extra...)
	if err := rows.Scan(into...); err != nil {
		return t, err
	}
	t.RequestedAt, t.StartedAt, t.EndedAt = timeFromNanos(requested), timeFromNanos(started), timeFromNanos(ended)
	if failure.Kind != "" {
		t.Failure = &failure
	}
	if target.ID != "" {
		t.Target = &target
	}
	var err error
	t.Counts, err = decodeCounts(counts)
	return t, errors.Join(err, parseJSON(residue, &t.Residue), parseJSON(trail, &t.Compensations))
}

// timeFromNanos is the inverse of UnixNano; 0 is no time.
func timeFromNanos(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// parseJSON reads a JSON column; "" leaves the value as it is.
func parseJSON(stored string, into any) error {
	if stored == "" {
		return nil
	}
	return json.Unmarshal([]byte(stored), into)
}

// queryOne runs a query for one line.
func (r *Reader) queryOne(ctx context.Context, missing *events.Error, query string, args ...any) (TransactionRow, error) {
	found, err := r.queryTransactions(ctx, query+" LIMIT 1", args...)
	if err != nil {
		return TransactionRow{}, err
	}
	if len(found) == 0 {
		return TransactionRow{}, missing
	}
	return found[0], nil
}

func notFoundError(op, subject, what string) *events.Error {
	return &events.Error{Op: op, Kind: events.ErrNotFound, Subject: subject, Err: errors.New(what), Hint: "'cortex history' lists what there is"}
}
