package projections

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
)

// Tables queries the tables of one read model in an open database. It is the base of
// the readers in the folders of the read models. It is safe for concurrent use and
// writes nothing.
//
// The first query checks that the file has the expected version. If the file is
// missing, damaged or of another version, [NeedsRebuild] is true for the error of
// every query.
type Tables struct {
	db      *sql.DB
	name    string
	version int
	checked atomic.Bool
}

// NewTables returns the tables of the named read model in db. It does not access the
// database.
func NewTables(db *sql.DB, name string, version int) *Tables {
	return &Tables{db: db, name: name, version: version}
}

// check runs [CheckVersion] until it succeeds once.
func (t *Tables) check(ctx context.Context) error {
	if t.checked.Load() {
		return nil
	}
	if err := CheckVersion(ctx, t.db, t.name, t.version); err != nil {
		return err
	}
	t.checked.Store(true)
	return nil
}

// Each calls f for every row of a query.
func (t *Tables) Each(ctx context.Context, query string, args []any, f func(*sql.Rows) error) error {
	if err := t.check(ctx); err != nil {
		return err
	}
	rows, err := t.db.QueryContext(ctx, query, args...)
	return WrapError(t.name, eachRow(rows, err, f))
}

// QueryRow reads the first row of a query into dest. ok is false if there is no row.
func (t *Tables) QueryRow(ctx context.Context, query string, args []any, dest ...any) (ok bool, err error) {
	if err := t.check(ctx); err != nil {
		return false, err
	}
	err = t.db.QueryRowContext(ctx, query, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, WrapError(t.name, err)
}

// Prepare prepares a query. The caller closes the statement.
func (t *Tables) Prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if err := t.check(ctx); err != nil {
		return nil, err
	}
	s, err := t.db.PrepareContext(ctx, query)
	return s, WrapError(t.name, err)
}

// QueryAll returns every row of a query, read by scan. The list is never nil.
func QueryAll[T any](ctx context.Context, t *Tables, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	out := []T{}
	err := t.Each(ctx, query, args, func(rows *sql.Rows) error {
		v, err := scan(rows)
		if err == nil {
			out = append(out, v)
		}
		return err
	})
	return out, err
}

// eachRow calls f for every row and closes rows. err is the error of the query.
func eachRow(rows *sql.Rows, err error, f func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // rows.Err returns its error
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
