package projections_test

import (
	"errors"

	"cortex/events"
	"cortex/projections"
)

// tally returns a minimal read model, which counts the records of each kind. Unless fail is
// nil, it is called after the record was counted.
func tally(fail func(r events.Record) error) projections.Definition {
	return projections.Definition{
		Name: "tally", Version: 1,
		Schema: `CREATE TABLE kinds (kind TEXT PRIMARY KEY, n INTEGER NOT NULL, last INTEGER NOT NULL) STRICT;
CREATE TABLE seen (position INTEGER PRIMARY KEY, note ANY) STRICT;`,
		Handlers: []projections.Handler{projections.OnRecord(func(tx *projections.Tx, r events.Record) error {
			if err := count(tx, r); err != nil || fail == nil {
				return err
			}
			return fail(r)
		})},
	}
}

func count(tx *projections.Tx, r events.Record) error {
	if _, err := tx.Exec(`INSERT INTO kinds VALUES (?, 1, ?) ON CONFLICT (kind) DO UPDATE SET n = n + 1, last = excluded.last`, string(r.Kind), int64(r.Position)); err != nil {
		return err
	}
	// The values have every type, for the comparison of rows.
	notes := []any{nil, int64(r.Position), float64(r.Position) / 2, string(r.Kind), []byte{0, 1, byte(r.Position)}}
	_, err := tx.Exec(`INSERT INTO seen VALUES (?, ?)`, int64(r.Position), notes[int(r.Position)%len(notes)])
	return err
}

var errInjected = errors.New("injected fault")
