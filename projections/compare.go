package projections

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// compareTable reads the table from both databases, sorted by every column, and counts
// the differences.
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
			t.addExample("+", a.row)
		} else if order > 0 {
			t.Missing++
			t.addExample("-", b.row)
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

func (t *TableDifference) addExample(sign string, row []any) {
	if len(t.Examples) == maxExamples {
		return
	}
	parts := make([]string, len(row))
	for i, v := range row {
		parts[i] = fmt.Sprint(v)
	}
	t.Examples = append(t.Examples, events.Tail(sign+" "+strings.Join(parts, " | "), 500))
}

// cursor reads the rows of a table. row is nil at the end.
type cursor struct {
	rows *sql.Rows
	row  []any
	err  error
}

// openCursor reads the first row. A missing table has no rows.
func openCursor(ctx context.Context, tx *sql.Tx, table string) (*cursor, error) {
	columns, err := columnsOf(ctx, tx, table)
	if err != nil || len(columns) == 0 {
		return &cursor{}, err
	}
	if table == "checkpoint" { // these columns are informational
		columns = slices.DeleteFunc(columns, func(c string) bool { return c == `"updated_at"` || c == `"schema"` })
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
	var out []string
	err = eachRow(rows, err, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		out = append(out, `"`+name+`"`)
		return err
	})
	return out, err
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
		_ = c.rows.Close() // c.err holds its error
	}
}

// compareRows orders rows as SQLite does. nil, the end of a table, is last.
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

// compareValues orders values as SQLite does: NULL, numbers, text, blobs.
func compareValues(a, b any) int {
	if c := typeRank(a) - typeRank(b); c != 0 {
		return c
	}
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b)
		}
		return cmp.Compare(float64(a), toFloat(b))
	case float64:
		return cmp.Compare(a, toFloat(b))
	case string:
		return strings.Compare(a, b.(string))
	case []byte:
		return bytes.Compare(a, b.([]byte))
	}
	return 0
}

func typeRank(v any) int {
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

func toFloat(v any) float64 {
	switch v := v.(type) {
	case int64:
		return float64(v)
	case float64:
		return v
	}
	return 0
}
