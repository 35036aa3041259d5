package hardware

import (
	"database/sql"
	_ "embed"
	"errors"

	"cortex/events"
	"cortex/projections"
)

// Name is the name of the read model and of its file.
const Name = "hardware"

// Version is the version of the tables.
const Version = 1

//go:embed schema.sql
var schema string

// Definition defines the read model.
func Definition() projections.Definition {
	return projections.Definition{
		Name: Name, Version: Version, Schema: schema,
		Handlers: []projections.Handler{
			projections.On(insertSnapshot),
			projections.On(countChanges),
		},
	}
}

// countChanges stores the number of changes for the snapshot that follows.
func countChanges(tx *projections.Tx, _ events.Record, f *events.HardwareChanged) error {
	_, err := tx.Exec(`INSERT OR REPLACE INTO pending VALUES (1, ?)`, len(f.Changes))
	return err
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
