package hardware

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"cortex/events"
	"cortex/projections"
)

// FormatVersion is the version of the JSON form of the results.
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
	Facts       int                           `json:"facts"`   // the number of facts
	Changed     int                           `json:"changed"` // stable facts that differ from the previous snapshot
}

// Reader queries the read model. It is safe for concurrent use. If the database is missing,
// damaged or of another version, [projections.NeedsRebuild] is true for its errors.
type Reader struct{ tables *projections.Tables }

// NewReader returns a reader of an open database. It does not access the database.
func NewReader(db *sql.DB) *Reader { return &Reader{projections.NewTables(db, Name, Version)} }

// List returns the newest snapshots, oldest first. The limit 0 means all.
func (r *Reader) List(ctx context.Context, limit int) ([]SnapshotSummary, error) {
	if limit <= 0 {
		limit = -1
	}
	return projections.QueryAll(ctx, r.tables, scanSummary, `SELECT * FROM (SELECT position, at, reason, boot, devices, stable, took_us, changed,
		(SELECT count(*) FROM facts f WHERE f.position = s.position) FROM snapshots s ORDER BY position DESC LIMIT ?) ORDER BY position`, limit)
}

func scanSummary(rows *sql.Rows) (s SnapshotSummary, err error) {
	var at int64
	err = rows.Scan(&s.Position, &at, &s.Reason, &s.BootID, &s.DevicesHash, &s.StableHash, &s.TookUs, &s.Changed, &s.Facts)
	s.At = time.Unix(0, at).UTC()
	return s, err
}

// Facts returns the facts of the snapshot at a position, sorted by key. It returns
// ErrNotFound if there is no snapshot at the position.
func (r *Reader) Facts(ctx context.Context, p events.Position) ([]events.HardwareFact, error) {
	out, err := projections.QueryAll(ctx, r.tables, scanFact, `SELECT key, value, source, confidence, error, volatile FROM facts WHERE position = ? ORDER BY key`, int64(p))
	if err == nil && len(out) == 0 {
		err = &events.Error{
			Op: "hardware.Facts", Kind: events.ErrNotFound, Subject: fmt.Sprintf("hardware snapshot %d", p),
			Err: errors.New("no snapshot at this position"), Hint: "see 'cortex hardware history'",
		}
	}
	return out, err
}

func scanFact(rows *sql.Rows) (f events.HardwareFact, err error) {
	err = rows.Scan(&f.Key, &f.Value, &f.Source, &f.Confidence, &f.Error, &f.Volatile)
	return f, err
}
