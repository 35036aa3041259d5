package projectiontest

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"

	"cortex/events"
	"cortex/projections"
)

// concurrentReaders queries a read model, as a command without a daemon does, during
// repeated rebuilds and while records are applied.
func (s suite) concurrentReaders(t *testing.T) {
	records := sampleHistory(200)
	dir, log := t.TempDir(), Log(t, records[:150])
	m := s.openModel(t, dir, log)
	want := tableSizes(t, m)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	reads := make([]int, 3)
	for i := range reads {
		readers.Go(func() {
			for ctx.Err() == nil {
				if err := readOnce(m.Path(), want); err != nil {
					t.Errorf("reader %d: %v", i, err)
					return
				}
				reads[i]++
			}
		})
	}
	for i := range 5 {
		must(t, m.Rebuild(t.Context(), log))
		next := records[150+10*i : 160+10*i]
		Append(t, log, next)
		apply(t, m, next)
	}
	cancel()
	readers.Wait()
	for i, n := range reads {
		if n == 0 {
			t.Errorf("reader %d completed no read", i)
		}
	}
	wantRows(t, s.rowsAtOnce(t, records), m)
}

// tableSizes returns the number of rows of every table.
func tableSizes(t *testing.T, m *projections.ReadModel) map[string]int {
	out := map[string]int{}
	for table, rows := range Rows(t, m) {
		out[table] = len(rows)
	}
	return out
}

// readOnce opens the file and fails unless the checkpoint is at least 150 and the tables have
// at least the given number of rows.
func readOnce(path string, atLeast map[string]int) error {
	db, err := OpenReader(path)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	var position events.Position
	if err := db.QueryRow(`SELECT position FROM checkpoint`).Scan(&position); err != nil {
		return err
	}
	if position < 150 {
		return fmt.Errorf("the checkpoint is at event %d", position)
	}
	// These tables only grow. Tables with current state can shrink.
	for _, table := range []string{"transactions", "changes"} {
		least, ok := atLeast[table]
		if !ok {
			continue
		}
		var n int
		if err := db.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil {
			return err
		}
		if n < least {
			return fmt.Errorf("table %s has %d rows instead of at least %d", table, n, least)
		}
	}
	return nil
}

// verification deletes a row in every table in turn.
func (s suite) verification(t *testing.T) {
	records := sampleHistory(150)
	log := Log(t, records)
	m := s.openModel(t, t.TempDir(), log)
	for table, rows := range Rows(t, m) {
		if len(rows) == 0 || table == "checkpoint" {
			continue
		}
		t.Run(table, func(t *testing.T) {
			must(t, m.Rebuild(t.Context(), log))
			deleteRow(t, m, table)
			diff, err := m.VerifyAgainst(t.Context(), log)
			must(t, err)
			if diff.Empty() || diff.Tables[0].Table != table || diff.Tables[0].Missing != 1 || len(diff.Tables[0].Examples) == 0 {
				t.Errorf("verification found %+v", diff)
			}
		})
	}
	must(t, m.Rebuild(t.Context(), log))
	diff, err := m.VerifyAgainst(t.Context(), log)
	if err != nil || !diff.Empty() {
		t.Errorf("after a rebuild verification found %v, %v", diff, err)
	}
}

// deleteRow deletes one row without the read model's knowledge.
func deleteRow(t *testing.T, m *projections.ReadModel, table string) {
	t.Helper()
	store := must1(Open(t.Context(), m.Path()))(t)
	must(t, store.Write(t.Context(), func(tx *sql.Tx) error {
		columns, err := tx.QueryContext(t.Context(), `SELECT * FROM "`+table+`" LIMIT 1`)
		if err != nil {
			return err
		}
		names, err := columns.Columns()
		if err != nil {
			return err
		}
		if err := columns.Close(); err != nil {
			return err
		}
		values := make([]any, len(names))
		into := make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := tx.QueryRowContext(t.Context(), `SELECT * FROM "`+table+`" LIMIT 1`).Scan(into...); err != nil {
			return err
		}
		query := `DELETE FROM "` + table + `" WHERE true`
		for _, name := range names {
			query += ` AND "` + name + `" IS ?`
		}
		_, err = tx.ExecContext(t.Context(), query, values...)
		return err
	}))
	must(t, store.Close())
}
