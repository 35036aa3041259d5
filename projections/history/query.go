package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cortex/events"
	"cortex/projections"
)

// Reader queries the read model. It is safe for concurrent use. If the database is missing,
// damaged or of another version, [projections.NeedsRebuild] is true for its errors.
type Reader struct{ tables *projections.Tables }

// NewReader returns a reader of an open database. It does not access the database.
func NewReader(db *sql.DB) *Reader { return &Reader{projections.NewTables(db, Name, Version)} }

// Filter selects transactions. The zero Filter selects all.
type Filter struct {
	Package events.PackageName      // requested, planned or changed
	Since   time.Time               // requested at or after
	Until   time.Time               // requested before
	State   events.TransactionState // the current state
	Verb    events.Verb             // the requested operation
	Before  int                     // number is smaller; for the next page
	Limit   int                     // the maximum number of transactions; 0 means all
}

const transactionColumns = `x.number, x.id, x.verb, x.state, x.requested_at, x.started_at, x.ended_at,
	x.uid, x.user, x.login_uid, x.sudo_user, x.tty, x.program, x.pid, x.words, x.dry_run, x.summary, x.plan_id, x.counts, x.changed, x.files, x.settings, x.ended_position,
	x.failure_kind, x.failure_subject, x.failure_message, x.failure_hint, x.target, x.target_number, x.exact, x.residue, x.trail`

// List returns the selected transactions, newest first.
func (r *Reader) List(ctx context.Context, f Filter) ([]TransactionRow, error) {
	if f.State != "" && !slices.Contains(events.TransactionStates, f.State) {
		return nil, &events.Error{Op: "history.List", Kind: events.ErrUsage, Subject: fmt.Sprintf("state %q", string(f.State)), Err: errors.New("invalid state"), Hint: stateHint()}
	}
	query, args := f.sql()
	return r.queryTransactions(ctx, query, args...)
}

// sql returns the query of a filter with a valid state.
func (f Filter) sql() (string, []any) {
	query := `SELECT ` + transactionColumns + ` FROM transactions x`
	var where []string
	var args []any
	add := func(condition string, arg ...any) {
		where, args = append(where, condition), append(args, arg...)
	}
	number := "x.number"
	if f.Package != "" {
		// CROSS JOIN makes SQLite use the index of the package, newest first.
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
		// SQLite uses the partial index only for a literal.
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
	return "use one of " + strings.Join(words, ", ")
}

// queryTransactions runs a query for transactionColumns.
func (r *Reader) queryTransactions(ctx context.Context, query string, args ...any) ([]TransactionRow, error) {
	return projections.QueryAll(ctx, r.tables, func(rows *sql.Rows) (TransactionRow, error) { return scanTransaction(rows) }, query, args...)
}

// scanTransaction reads transactionColumns, and the columns after them into extra.
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

// timeFromNanos is the inverse of UnixNano. 0 is the zero time.
func timeFromNanos(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

// parseJSON decodes a JSON column. It does not change the value if the column is "".
func parseJSON(stored string, into any) error {
	if stored == "" {
		return nil
	}
	return json.Unmarshal([]byte(stored), into)
}

// queryOne runs a query for one transaction. It returns missing if there is none.
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
	return &events.Error{Op: op, Kind: events.ErrNotFound, Subject: subject, Err: errors.New(what), Hint: "'cortex history' lists the transactions"}
}
