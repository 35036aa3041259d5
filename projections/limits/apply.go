package limits

import (
	_ "embed"
	"encoding/json"

	"cortex/events"
	"cortex/projections"
)

// Name is the read model's name, and its file's.
const Name = "limits"

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
	var query string
	args := []any{int64(r.Position), r.Time.UnixNano()}
	switch f := f.(type) {
	case *events.LimitProfileSet:
		query = `INSERT OR REPLACE INTO profiles (position, at, fact, name) VALUES (?, ?, ?, ?)`
		args = append(args, nil, f.Name)
	case *events.LimitsApplied:
		query = `INSERT INTO applied (position, at, fact, unit) VALUES (?, ?, ?, ?)`
		args = append(args, nil, f.Unit)
	case *events.LimitsReverted:
		query = `UPDATE applied SET ended = ?2, reverted = ?3 WHERE unit = ?4 AND ended IS NULL AND position < ?1`
		args = append(args, nil, f.Unit)
	default:
		return nil
	}
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	args[2] = string(data)
	_, err = tx.Exec(query, args...)
	return err
}
