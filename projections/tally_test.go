package projections_test

import (
	"errors"

	"cortex/events"
	"cortex/projections"
)

// tally counts the facts of each kind: the smallest read model there is.
type tally struct {
	// fails, when set, is asked before a fact is counted and after.
	fails func(r events.Record) error
}

func (tally) Name() string { return "tally" }
func (tally) Version() int { return 1 }
func (tally) Schema() string {
	return `CREATE TABLE kinds (kind TEXT PRIMARY KEY, n INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
CREATE TABLE seen (position INTEGER PRIMARY KEY, note ANY) STRICT;`
}

func (p tally) Apply(tx *projections.Tx, r events.Record, f events.Fact) error {
	if _, err := tx.Exec(`INSERT INTO kinds VALUES (?, 1, ?) ON CONFLICT (kind) DO UPDATE SET n = n + 1, last = excluded.last`, string(f.Kind()), int64(r.Position)); err != nil {
		return err
	}
	// Values of every class, for the comparison of rows.
	notes := []any{nil, int64(r.Position), float64(r.Position) / 2, string(r.Kind), []byte{0, 1, byte(r.Position)}}
	if _, err := tx.Exec(`INSERT INTO seen VALUES (?, ?)`, int64(r.Position), notes[int(r.Position)%len(notes)]); err != nil {
		return err
	}
	if p.fails != nil {
		return p.fails(r)
	}
	return nil
}

var errUnlucky = errors.New("unlucky")
