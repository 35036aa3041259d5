package audit

import (
	_ "embed"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"cortex/events"
	"cortex/projections"
)

// Name is the name of the read model and of its file.
const Name = "audit"

// Version is the version of the tables.
const Version = 1

//go:embed schema.sql
var schema string

// Definition defines the read model. Every record is a leaf of the tree, including a
// record of an unknown kind.
func Definition() projections.Definition {
	return projections.Definition{
		Name: Name, Version: Version, Schema: schema,
		Handlers: []projections.Handler{projections.OnRecord(appendLeaf)},
	}
}

func appendLeaf(tx *projections.Tx, r events.Record) error {
	n := int64(r.Position) - 1
	hashes, err := tlog.StoredHashesForRecordHash(n, tlog.Hash(events.LeafHash(r.Hash)), storedHashes(tx))
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

// storedHashes reads hashes of the tree that were written before.
func storedHashes(tx *projections.Tx) tlog.HashReaderFunc {
	return func(ids []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(ids))
		for i, id := range ids {
			var b []byte
			if err := tx.QueryRow(`SELECT hash FROM hashes WHERE id = ?`, []any{id}, &b); err != nil {
				return nil, err
			}
			if copy(out[i][:], b) != len(out[i]) {
				return nil, fmt.Errorf("hash %d is too short", id)
			}
		}
		return out, nil
	}
}
