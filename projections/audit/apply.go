package audit

import (
	_ "embed"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"cortex/events"
	"cortex/projections"
)

// Name is the read model's name, and its file's.
const Name = "audit"

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

// Apply implements [projections.Projection]: every fact is a leaf.
func (Projection) Apply(tx *projections.Tx, r events.Record, _ events.Fact) error {
	n := int64(r.Position) - 1
	stored := tlog.HashReaderFunc(func(ids []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(ids))
		for i, id := range ids {
			var b []byte
			if err := tx.QueryRow(`SELECT hash FROM hashes WHERE id = ?`, []any{id}, &b); err != nil {
				return nil, err
			}
			if copy(out[i][:], b) != len(out[i]) {
				return nil, fmt.Errorf("hash %d is cut short", id)
			}
		}
		return out, nil
	})
	hashes, err := tlog.StoredHashesForRecordHash(n, tlog.Hash(events.LeafHash(r.Hash)), stored)
	if err != nil {
		return fmt.Errorf("hash the tree: %w", err)
	}
	first := tlog.StoredHashIndex(0, n)
	for i, h := range hashes {
		if _, err := tx.Exec(`INSERT INTO hashes VALUES (?, ?)`, first+int64(i), h[:]); err != nil {
			return err
		}
	}
	_, err = tx.Exec(`INSERT INTO places VALUES (?, ?)`, string(r.ID), int64(r.Position))
	return err
}
