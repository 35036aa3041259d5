package projections

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// ReplayDifference is what distinguishes a model's rows from those that the log gives.
type ReplayDifference struct {
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
func (d ReplayDifference) Empty() bool { return len(d.Tables) == 0 }

// String tells it in one line.
func (d ReplayDifference) String() string {
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
func (m *ReadModel) VerifyAgainst(ctx context.Context, log events.Log) (diff ReplayDifference, err error) {
	m.rebuildMu.Lock()
	defer m.rebuildMu.Unlock()
	if err := m.files.remove(verifyGeneration); err != nil {
		return ReplayDifference{}, m.wrapError(err)
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
	return diff, WrapError(m.Name(), err)
}

// verify compares the snapshot that live sees.
func (m *ReadModel) verify(ctx context.Context, log events.Log, live *sql.Tx) (diff ReplayDifference, err error) {
	at, err := readCheckpoint(ctx, live)
	if err != nil {
		return ReplayDifference{}, err
	}
	shadow, err := m.buildShadow(ctx, log.Host(), verifyGeneration, readBatches(ctx, log, 0, at.link.Position, m.cfg.Batch))
	if err != nil {
		return ReplayDifference{}, err
	}
	defer func() {
		err = errors.Join(err, shadow.store.Close(), m.files.remove(verifyGeneration))
	}()
	replayed, err := shadow.store.Reader().BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return ReplayDifference{}, err
	}
	defer func() { _ = replayed.Rollback() }() // it only reads
	diff = ReplayDifference{Projection: m.Name(), Position: at.link.Position}
	tables, err := tablesOf(ctx, live, replayed)
	if err != nil {
		return ReplayDifference{}, err
	}
	for _, table := range tables {
		t, rows, err := compareTable(ctx, table, live, replayed)
		if err != nil {
			return ReplayDifference{}, fmt.Errorf("compare table %s: %w", table, err)
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
