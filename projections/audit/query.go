package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"cortex/events"
	"cortex/projections"
)

// Reader queries the tree. It is safe for concurrent use. If the database is missing,
// damaged or of another version, [projections.NeedsRebuild] is true for its errors.
type Reader struct{ tables *projections.Tables }

// NewReader returns a reader of an open database. It does not access the database.
func NewReader(db *sql.DB) *Reader { return &Reader{projections.NewTables(db, Name, Version)} }

// Size returns the number of leaves of the tree.
func (r *Reader) Size(ctx context.Context) (n events.Position, err error) {
	_, err = r.tables.QueryRow(ctx, `SELECT count(*) FROM places`, nil, &n)
	return n, err
}

// Root returns the root of the tree over the first size records. It returns ErrNotFound if
// the tree is smaller.
func (r *Reader) Root(ctx context.Context, size events.Position) (events.Hash, error) {
	if size == 0 {
		return (&events.MerkleTree{}).Root(), nil
	}
	h, err := tlog.TreeHash(int64(size), r.hashReader(ctx))
	return events.Hash(h), projections.WrapError(Name, err)
}

// Leaf returns the leaf hash of the record at a position. It returns ErrNotFound if the
// tree does not contain the record.
func (r *Reader) Leaf(ctx context.Context, p events.Position) (events.Hash, error) {
	h, err := r.hashReader(ctx)([]int64{tlog.StoredHashIndex(0, int64(p)-1)})
	if err != nil {
		return events.Hash{}, projections.WrapError(Name, err)
	}
	return events.Hash(h[0]), nil
}

// Find returns the position of an event, or ErrNotFound.
func (r *Reader) Find(ctx context.Context, id events.ID) (p events.Position, err error) {
	found, err := r.tables.QueryRow(ctx, `SELECT position FROM places WHERE event = ?`, []any{string(id)}, &p)
	if err == nil && !found {
		err = &events.Error{Op: "audit.Find", Kind: events.ErrNotFound, Subject: "event " + string(id), Hint: "see 'cortex events list'"}
	}
	return p, err
}

// Prove returns the inclusion proof of the record at p: the hashes from the leaf to the
// root of the tree over the first size records, lowest first.
func (r *Reader) Prove(ctx context.Context, p, size events.Position) ([]events.Hash, error) {
	if p == 0 || p > size {
		return nil, &events.Error{Op: "audit.Prove", Kind: events.ErrNotFound, Subject: fmt.Sprintf("event %d", p), Err: fmt.Errorf("the tree of size %d does not contain it", size)}
	}
	proof, err := tlog.ProveRecord(int64(size), int64(p)-1, r.hashReader(ctx))
	if err != nil {
		return nil, projections.WrapError(Name, err)
	}
	out := make([]events.Hash, len(proof))
	for i, h := range proof {
		out[i] = events.Hash(h)
	}
	return out, nil
}

func (r *Reader) hashReader(ctx context.Context) tlog.HashReaderFunc {
	return func(ids []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(ids))
		for i, id := range ids {
			var b []byte
			found, err := r.tables.QueryRow(ctx, `SELECT hash FROM hashes WHERE id = ?`, []any{id}, &b)
			if err != nil {
				return nil, err
			}
			if !found {
				return nil, &events.Error{Op: "audit", Kind: events.ErrNotFound, Subject: "read model " + Name, Err: errors.New("the tree does not contain this event yet")}
			}
			copy(out[i][:], b)
		}
		return out, nil
	}
}
