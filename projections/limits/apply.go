package limits

import (
	_ "embed"
	"encoding/json"

	"cortex/events"
	"cortex/projections"
)

// Name is the name of the read model and of its file.
const Name = "limits"

// Version is the version of the tables.
const Version = 1

//go:embed schema.sql
var schema string

// Definition defines the read model.
func Definition() projections.Definition {
	return projections.Definition{
		Name: Name, Version: Version, Schema: schema,
		Handlers: []projections.Handler{
			projections.On(setProfile),
			projections.On(insertGroup),
			projections.On(endGroup),
		},
	}
}

func setProfile(tx *projections.Tx, r events.Record, f *events.LimitProfileSet) error {
	return exec(tx, r, f, `INSERT OR REPLACE INTO profiles (position, at, fact, name) VALUES (?, ?, ?, ?)`, f.Name)
}

func insertGroup(tx *projections.Tx, r events.Record, f *events.LimitsApplied) error {
	return exec(tx, r, f, `INSERT INTO applied (position, at, fact, unit) VALUES (?, ?, ?, ?)`, f.Unit)
}

func endGroup(tx *projections.Tx, r events.Record, f *events.LimitsReverted) error {
	return exec(tx, r, f, `UPDATE applied SET ended = ?2, reverted = ?3 WHERE unit = ?4 AND ended IS NULL AND position < ?1`, f.Unit)
}

// exec runs a statement with the parameters position, time, fact as JSON, and name.
func exec(tx *projections.Tx, r events.Record, f events.Fact, statement, name string) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = tx.Exec(statement, int64(r.Position), r.Time.UnixNano(), string(data), name)
	return err
}
