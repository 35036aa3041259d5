package projections

import (
	"database/sql"
	"fmt"
)

// Tx is the transaction of one batch. It prepares each statement once.
type Tx struct {
	tx         *sql.Tx
	statements map[string]*sql.Stmt
}

func newTx(tx *sql.Tx) *Tx { return &Tx{tx: tx, statements: map[string]*sql.Stmt{}} }

// Exec runs a statement and returns the number of changed rows.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	s, err := t.prepare(query)
	if err != nil {
		return 0, err
	}
	res, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// QueryRow reads the first row of a query into dest. The error is [sql.ErrNoRows] if
// there is no row.
func (t *Tx) QueryRow(query string, args []any, dest ...any) error {
	s, err := t.prepare(query)
	if err != nil {
		return err
	}
	return s.QueryRow(args...).Scan(dest...)
}

// Each calls f for every row of a query. f must not use the transaction.
func (t *Tx) Each(query string, args []any, f func(*sql.Rows) error) error {
	s, err := t.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.Query(args...)
	return eachRow(rows, err, f)
}

func (t *Tx) prepare(query string) (*sql.Stmt, error) {
	if s := t.statements[query]; s != nil {
		return s, nil
	}
	s, err := t.tx.Prepare(query) // the end of the transaction closes it
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	t.statements[query] = s
	return s, nil
}
