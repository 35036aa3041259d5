package hardware

import (
	"database/sql"
	_ "embed"
	"errors"

	"cortex/events"
	"cortex/projections"
)

// Name is the read model's name, and its file's.
const Name = "hardware"

// Version is the version of the tables.
const Version = 1

//go:embed schema.sql
var schema string

// Projection writes the read model.
type Projection struct{}

var _ projections.Projection = Projection{}

// Name implements [projections.Projection].
func (Projection) Name() string { return Name }

// Version implements [projections.Projection].
func (Projection) Version() int { return Version }

// Schema implements [projections.Projection].
func (Projection) Schema() string { return schema }

// Apply implements [projections.Projection]. Every other fact is of no concern.
func (Projection) Apply(tx *projections.Tx, r events.Record, f events.Fact) error {
	switch f := f.(type) {
	case *events.HardwareSnapshot:
		return insertSnapshot(tx, r, f)
	case *events.HardwareChanged:
		_, err := tx.Exec(`INSERT OR REPLACE INTO pending VALUES (1, ?)`, len(f.Changes))
		return err
	}
	return nil
}

func insertSnapshot(tx *projections.Tx, r events.Record, s *events.HardwareSnapshot) error {
	changed := 0
	err := tx.QueryRow(`SELECT changed FROM pending`, nil, &changed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM pending`); err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, int64(r.Position), r.Time.UnixNano(),
		string(s.Reason), s.BootID, s.DevicesHash, s.StableHash, s.TookUs, changed)
	if err != nil {
		return err
	}
	for _, f := range s.Facts {
		_, err := tx.Exec(`INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?)`, int64(r.Position), f.Key, string(f.Value), f.Source,
			string(f.Confidence), f.Error, f.Volatile)
		if err != nil {
			return err
		}
	}
	return nil
}
