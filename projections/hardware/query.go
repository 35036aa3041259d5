package hardware

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"cortex/events"
	"cortex/projections"
)

// FormatVersion is the version of the JSON form of the answers.
const FormatVersion = 1

// SnapshotSummary is a snapshot without its facts.
type SnapshotSummary struct {
	Position    events.Position               `json:"position"`
	At          time.Time                     `json:"at"` // when it was recorded
	Reason      events.HardwareSnapshotReason `json:"reason"`
	BootID      string                        `json:"boot_id,omitempty"`
	DevicesHash string                        `json:"devices"`
	StableHash  string                        `json:"stable"`
	TookUs      int64                         `json:"took_us"`
	Facts       int                           `json:"facts"`   // how many
	Changed     int                           `json:"changed"` // stable facts that differ from the snapshot before
}

// Reader answers questions. It is safe for concurrent use. A database that is
// missing, damaged or of another version gives errors for which
// [projections.Unreadable] is true.
type Reader struct {
	db      *sql.DB
	checked atomic.Bool
}

// NewReader returns a reader of an open database. It looks at nothing yet.
func NewReader(db *sql.DB) *Reader { return &Reader{db: db} }

// List gives the newest snapshots, oldest first. limit 0 means all.
func (r *Reader) List(ctx context.Context, limit int) ([]SnapshotSummary, error) {
	if limit <= 0 {
		limit = -1
	}
	out := []SnapshotSummary{}
	err := r.each(ctx, `SELECT * FROM (SELECT position, at, reason, boot, devices, stable, took_us, changed,
		(SELECT count(*) FROM facts f WHERE f.position = s.position) FROM snapshots s ORDER BY position DESC LIMIT ?) ORDER BY position`,
		[]any{limit}, func(rows *sql.Rows) error {
			var s SnapshotSummary
			var at int64
			err := rows.Scan(&s.Position, &at, &s.Reason, &s.BootID, &s.DevicesHash, &s.StableHash, &s.TookUs, &s.Changed, &s.Facts)
			s.At = time.Unix(0, at).UTC()
			out = append(out, s)
			return err
		})
	return out, err
}

// Facts gives the facts of the snapshot at that place, by key. One that is not
// there is ErrNotFound.
func (r *Reader) Facts(ctx context.Context, p events.Position) ([]events.HardwareFact, error) {
	var out []events.HardwareFact
	err := r.each(ctx, `SELECT key, value, source, confidence, error, volatile FROM facts WHERE position = ? ORDER BY key`,
		[]any{int64(p)}, func(rows *sql.Rows) error {
			var f events.HardwareFact
			err := rows.Scan(&f.Key, &f.Value, &f.Source, &f.Confidence, &f.Error, &f.Volatile)
			out = append(out, f)
			return err
		})
	if err == nil && out == nil {
		err = &events.Error{
			Op: "hardware.Facts", Kind: events.ErrNotFound, Subject: fmt.Sprintf("hardware snapshot %d", p),
			Err: errors.New("there is none"), Hint: "see 'cortex hardware history'",
		}
	}
	return out, err
}

// each calls f for every row, after making sure, once, that the tables are those
// this program knows.
func (r *Reader) each(ctx context.Context, query string, args []any, f func(*sql.Rows) error) error {
	if !r.checked.Load() {
		if err := projections.CheckVersion(ctx, r.db, Name, Version); err != nil {
			return err
		}
		r.checked.Store(true)
	}
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return projections.WrapError(Name, err)
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	for rows.Next() {
		if err := f(rows); err != nil {
			return projections.WrapError(Name, err)
		}
	}
	return projections.WrapError(Name, rows.Err())
}
