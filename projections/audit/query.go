package audit

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/mod/sumdb/tlog"

	"cortex/events"
	"cortex/projections"
)

// Reader answers questions about the tree. It is safe for concurrent use. A
// database that is missing, damaged or of another version gives errors for which
// [projections.Unreadable] is true.
type Reader struct {
	db      *sql.DB
	checked atomic.Bool
}

// NewReader returns a reader of an open database. It looks at nothing yet.
func NewReader(db *sql.DB) *Reader { return &Reader{db: db} }

func (r *Reader) check(ctx context.Context) error {
	if r.checked.Load() {
		return nil
	}
	if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
		return err
	}
	r.checked.Store(true)
	return nil
}

// Size is how many records the tree holds.
func (r *Reader) Size(ctx context.Context) (events.Position, error) {
	if err := r.check(ctx); err != nil {
		return 0, err
	}
	var n events.Position
	err := r.db.QueryRowContext(ctx, `SELECT count(*) FROM places`).Scan(&n)
	return n, projections.WrapError(Name, err)
}

// Root is the root of the tree over the first size records. More records than
// there are give ErrNotFound.
func (r *Reader) Root(ctx context.Context, size events.Position) (events.Hash, error) {
	if err := r.check(ctx); err != nil {
		return events.Hash{}, err
	}
	if size == 0 {
		return (&events.MerkleTree{}).Root(), nil
	}
	h, err := tlog.TreeHash(int64(size), r.hashReader(ctx))
	return events.Hash(h), r.wrapError(err)
}

// Leaf is the tree's hash of the record at a position.
func (r *Reader) Leaf(ctx context.Context, p events.Position) (events.Hash, error) {
	if err := r.check(ctx); err != nil {
		return events.Hash{}, err
	}
	h, err := r.hashReader(ctx).ReadHashes([]int64{tlog.StoredHashIndex(0, int64(p)-1)})
	if err != nil {
		return events.Hash{}, r.wrapError(err)
	}
	return events.Hash(h[0]), nil
}

// Find gives the position of an event, or ErrNotFound.
func (r *Reader) Find(ctx context.Context, id events.ID) (events.Position, error) {
	if err := r.check(ctx); err != nil {
		return 0, err
	}
	var p events.Position
	err := r.db.QueryRowContext(ctx, `SELECT position FROM places WHERE event = ?`, string(id)).Scan(&p)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, &events.Error{Op: "audit.Find", Kind: events.ErrNotFound, Subject: "event " + string(id), Hint: "see 'cortex events list'"}
	}
	return p, projections.WrapError(Name, err)
}

// Prove gives the hashes that lead from the record at p to the root of the tree
// over the first size records, the lowest first.
func (r *Reader) Prove(ctx context.Context, p, size events.Position) ([]events.Hash, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	if p == 0 || p > size {
		return nil, &events.Error{Op: "audit.Prove", Kind: events.ErrNotFound, Subject: fmt.Sprintf("event %d", p), Err: fmt.Errorf("it is not among the first %d", size)}
	}
	proof, err := tlog.ProveRecord(int64(size), int64(p)-1, r.hashReader(ctx))
	if err != nil {
		return nil, r.wrapError(err)
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
			if err := r.db.QueryRowContext(ctx, `SELECT hash FROM hashes WHERE id = ?`, id).Scan(&b); err != nil {
				return nil, err
			}
			copy(out[i][:], b)
		}
		return out, nil
	}
}

func (r *Reader) wrapError(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return &events.Error{Op: "audit", Kind: events.ErrNotFound, Subject: "read model " + Name, Err: errors.New("the tree does not reach that far yet")}
	}
	return projections.WrapError(Name, err)
}
