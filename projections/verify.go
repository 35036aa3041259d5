package projections

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// Difference is what distinguishes a model's rows from those that the log gives.
type Difference struct {
	Projection string            `json:"projection"`
	Position   events.Position   `json:"position"` // at which both were compared
	Rows       int               `json:"rows"`     // compared
	Tables     []TableDifference `json:"tables"`   // those that differ
}

// TableDifference counts the rows of one table that differ. A row with one wrong
// value is missing once and extra once.
type TableDifference struct {
	Table    string   `json:"table"`
	Missing  int      `json:"missing"`  // rows that the log gives and the model lacks
	Extra    int      `json:"extra"`    // rows that the model has and the log does not give
	Examples []string `json:"examples"` // the first few, "-" missing and "+" extra
}

// maxExamples bounds the rows told of one table.
const maxExamples = 5

// Empty reports whether there is none.
func (d Difference) Empty() bool { return len(d.Tables) == 0 }

// String tells it in one line.
func (d Difference) String() string {
	if d.Empty() {
		return fmt.Sprintf("read model %s is what the log gives: %d rows at event %d", d.Projection, d.Rows, d.Position)
	}
	var parts []string
	for _, t := range d.Tables {
		parts = append(parts, fmt.Sprintf("%s lacks %d and has %d too many", t.Table, t.Missing, t.Extra))
	}
	return fmt.Sprintf("read model %s differs from what the log gives at event %d: %s", d.Projection, d.Position, strings.Join(parts, "; "))
}

// VerifyAgainst replays the log up to the model's checkpoint into a throw-away
// file and compares both, row by row. The model goes on meanwhile.
func (m *Model) VerifyAgainst(ctx context.Context, log events.Log) (diff Difference, err error) {
	m.shadowing.Lock()
	defer m.shadowing.Unlock()
	if err := m.files.remove(verifyGeneration); err != nil {
		return Difference{}, m.fail(err)
	}
	err = m.Read(ctx, func(db *sql.DB) error {
		live, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer func() { _ = live.Rollback() }() // it only reads
		diff, err = m.verify(ctx, log, live)
		return err
	})
	return diff, Explain(m.Name(), err)
}

// verify compares the snapshot that live sees.
func (m *Model) verify(ctx context.Context, log events.Log, live *sql.Tx) (diff Difference, err error) {
	at, err := readCheckpoint(ctx, live)
	if err != nil {
		return Difference{}, err
	}
	shadow, err := m.shadow(ctx, log, verifyGeneration, at.link.Position)
	if err != nil {
		return Difference{}, err
	}
	defer func() {
		err = errors.Join(err, shadow.store.Close(), m.files.remove(verifyGeneration))
	}()
	replayed, err := shadow.store.Reader().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return Difference{}, err
	}
	defer func() { _ = replayed.Rollback() }() // it only reads
	diff = Difference{Projection: m.Name(), Position: at.link.Position}
	tables, err := tablesOf(ctx, live, replayed)
	if err != nil {
		return Difference{}, err
	}
	for _, table := range tables {
		t, rows, err := compareTable(ctx, table, live, replayed)
		if err != nil {
			return Difference{}, fmt.Errorf("compare table %s: %w", table, err)
		}
		diff.Rows += rows
		if t.Missing+t.Extra > 0 {
			diff.Tables = append(diff.Tables, t)
		}
	}
	return diff, nil
}

// tablesOf lists the tables that either has.
func tablesOf(ctx context.Context, txs ...*sql.Tx) ([]string, error) {
	var out []string
	for _, tx := range txs {
		rows, err := tx.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			out = append(out, name)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// compareTable walks through both tables, sorted by every column.
func compareTable(ctx context.Context, table string, live, replayed *sql.Tx) (TableDifference, int, error) {
	t := TableDifference{Table: table}
	a, err := openCursor(ctx, live, table)
	if err != nil {
		return t, 0, err
	}
	defer a.close()
	b, err := openCursor(ctx, replayed, table)
	if err != nil {
		return t, 0, err
	}
	defer b.close()
	rows := 0
	for a.row != nil || b.row != nil {
		rows++
		order := compareRows(a.row, b.row)
		if order < 0 {
			t.Extra++
			t.example("+", a.row)
		} else if order > 0 {
			t.Missing++
			t.example("-", b.row)
		}
		if order <= 0 {
			a.next()
		}
		if order >= 0 {
			b.next()
		}
	}
	return t, rows, errors.Join(a.err, b.err)
}

func (t *TableDifference) example(sign string, row []any) {
	if len(t.Examples) == maxExamples {
		return
	}
	parts := make([]string, len(row))
	for i, v := range row {
		parts[i] = fmt.Sprint(v)
	}
	t.Examples = append(t.Examples, events.Tail(sign+" "+strings.Join(parts, " | "), 500))
}

// cursor is a table's rows; row is nil at the end.
type cursor struct {
	rows *sql.Rows
	row  []any
	err  error
}

// openCursor starts at the first row. A table that is not there has no rows.
func openCursor(ctx context.Context, tx *sql.Tx, table string) (*cursor, error) {
	columns, err := columnsOf(ctx, tx, table)
	if err != nil || len(columns) == 0 {
		return &cursor{}, err
	}
	if table == "checkpoint" { // its time stamp is for people
		columns = slices.DeleteFunc(columns, func(c string) bool { return c == `"updated_at"` })
	}
	list := strings.Join(columns, ", ")
	rows, err := tx.QueryContext(ctx, fmt.Sprintf(`SELECT %s FROM "%s" ORDER BY %s`, list, table, list))
	if err != nil {
		return nil, err
	}
	c := &cursor{rows: rows, row: make([]any, len(columns))}
	c.next()
	return c, nil
}

func columnsOf(ctx context.Context, tx *sql.Tx, table string) ([]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT name FROM pragma_table_info(?)`, table)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		out = append(out, `"`+name+`"`)
	}
	return out, rows.Err()
}

func (c *cursor) next() {
	if !c.rows.Next() {
		c.row, c.err = nil, c.rows.Err()
		return
	}
	row := make([]any, len(c.row))
	into := make([]any, len(row))
	for i := range row {
		into[i] = &row[i]
	}
	if c.err = c.rows.Scan(into...); c.err != nil {
		row = nil
	}
	c.row = row
}

func (c *cursor) close() {
	if c.rows != nil {
		_ = c.rows.Close() // its error is in err
	}
}

// compareRows orders rows as SQLite does; the end of a table comes last.
func compareRows(a, b []any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	for i := range min(len(a), len(b)) {
		if c := compareValues(a[i], b[i]); c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}

// compareValues: NULL, numbers, text, blobs.
func compareValues(a, b any) int {
	if c := class(a) - class(b); c != 0 {
		return c
	}
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return compareOrdered(a, b)
		}
		return compareOrdered(float64(a), number(b))
	case float64:
		return compareOrdered(a, number(b))
	case string:
		return strings.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	}
	return 0
}

func class(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case int64, float64:
		return 1
	case string:
		return 2
	}
	return 3
}

func number(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}

func compareOrdered[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
