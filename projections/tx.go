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

// Exec runs a statement and gives the number of rows it changed.
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

// QueryRow runs a query of at most one row and reads it into dest. Without a
// row the error is [sql.ErrNoRows].
func (t *Tx) QueryRow(query string, args []any, dest ...any) error {
	s, err := t.prepare(query)
	if err != nil {
		return err
	}
	return s.QueryRow(args...).Scan(dest...)
}

// Query runs a query. The rows are closed by the caller before anything else is
// done with the transaction.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	s, err := t.prepare(query)
	if err != nil {
		return nil, err
	}
	return s.Query(args...)
}

func (t *Tx) prepare(query string) (*sql.Stmt, error) {
	if s := t.statements[query]; s != nil {
		return s, nil
	}
	s, err := t.tx.Prepare(query) // closed with the transaction
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	t.statements[query] = s
	return s, nil
}
