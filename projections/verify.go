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

// ReplayDifference lists how the rows of a read model differ from a replay of the log.
type ReplayDifference struct {
	Projection string            `json:"projection"`
	Position   events.Position   `json:"position"` // of the comparison
	Rows       int               `json:"rows"`     // compared
	Tables     []TableDifference `json:"tables"`   // those that differ
}

// TableDifference counts the differing rows of one table. A row with a wrong value
// counts as one missing and one extra row.
type TableDifference struct {
	Table    string   `json:"table"`
	Missing  int      `json:"missing"`  // rows of the replay that the read model lacks
	Extra    int      `json:"extra"`    // rows of the read model that the replay lacks
	Examples []string `json:"examples"` // the first few, "-" missing and "+" extra
}

// maxExamples is the maximum number of examples of one table.
const maxExamples = 5

// Empty reports whether there is no difference.
func (d ReplayDifference) Empty() bool { return len(d.Tables) == 0 }

// String describes the difference in one line.
func (d ReplayDifference) String() string {
	if d.Empty() {
		return fmt.Sprintf("read model %s matches the log: %d rows at event %d", d.Projection, d.Rows, d.Position)
	}
	var parts []string
	for _, t := range d.Tables {
		parts = append(parts, fmt.Sprintf("%s: %d rows missing, %d extra", t.Table, t.Missing, t.Extra))
	}
	return fmt.Sprintf("read model %s differs from the log at event %d: %s", d.Projection, d.Position, strings.Join(parts, "; "))
}

// VerifyAgainst replays the log up to the checkpoint into a temporary file and compares
// both files row by row. Apply and queries continue during the comparison.
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
		defer func() { _ = live.Rollback() }() // the transaction only reads
		diff, err = m.verify(ctx, log, live)
		return err
	})
	return diff, WrapError(m.Name(), err)
}

// verify compares the rows that the transaction live sees with a replay.
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
	defer func() { _ = replayed.Rollback() }() // the transaction only reads
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

// tablesOf lists the tables of all databases.
func tablesOf(ctx context.Context, txs ...*sql.Tx) ([]string, error) {
	var out []string
	for _, tx := range txs {
		rows, err := tx.QueryContext(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
		err = eachRow(rows, err, func(rows *sql.Rows) error {
			var name string
			err := rows.Scan(&name)
			out = append(out, name)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
