package history_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"cortex/events"
	"cortex/projections/history"
)

// TestQueriesUseTheirIndexes checks the query plans. A query without its index returns
// correct results too, but is slow for a long history.
func TestQueriesUseTheirIndexes(t *testing.T) {
	m, _ := build(t, t.TempDir(), newStory().records)
	type planned struct {
		query string
		args  []any
		index string
	}
	queries := map[string]planned{
		"undoable":     {history.Undoable, nil, "transactions_undoable"},
		"a plan":       {history.ByPlan, []any{"000000000000"}, "transactions_plan"},
		"later":        {history.LaterTouching, []any{"x"}, "changes_package"},
		"dead letters": {history.ParkedQuery, nil, "parked_open"},
	}
	for name, c := range map[string]struct {
		filter history.Filter
		index  string
	}{
		"the newest":   {history.Filter{Limit: 20}, "SCAN x"}, // in the order of rowid
		"the next":     {history.Filter{Limit: 20, Before: 7}, "PRIMARY KEY (rowid<?)"},
		"of a package": {history.Filter{Package: "vim", Limit: 20}, "PRIMARY KEY (name=?)"},
		"failed":       {history.Filter{State: events.StateFailed, Limit: 20}, "transactions_state"},
		"refused":      {history.Filter{State: events.StateRefused, Limit: 20}, "transactions_state"},
		"interrupted":  {history.Filter{State: events.StateInterrupted, Limit: 20}, "transactions_state"},
	} {
		query, args := c.filter.Query()
		queries[name] = planned{query, args, c.index}
	}
	for name, q := range queries {
		var plan []string
		err := m.Read(t.Context(), func(db *sql.DB) (err error) {
			plan, err = explain(t.Context(), db, q.query, q.args...)
			return err
		})
		text := strings.Join(plan, "; ")
		sorts := strings.Contains(text, "TEMP B-TREE") && name != "later" // sorts a few rows by two columns
		if err != nil || !strings.Contains(text, q.index) || sorts {
			t.Errorf("%s: %v, query plan %s", name, err, text)
		}
	}
}

func explain(ctx context.Context, db *sql.DB, query string, args ...any) ([]string, error) {
	rows, err := db.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return nil, err
		}
		out = append(out, detail)
	}
	return out, rows.Err()
}
