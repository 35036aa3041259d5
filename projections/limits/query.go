package limits

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"cortex/events"
	"cortex/projections"
)

// FormatVersion is the version of the JSON form of the results.
const FormatVersion = 1

// Profile is the current definition of a limit profile.
type Profile struct {
	events.LimitProfile
	Position events.Position `json:"position"`
	At       time.Time       `json:"at"`
}

// LimitedGroup is a group of processes with resource limits.
type LimitedGroup struct {
	events.LimitsApplied
	Position events.Position        `json:"position"`
	At       time.Time              `json:"at"`
	Ended    time.Time              `json:"ended,omitzero"`     // zero: the log has no end
	Reverted *events.LimitsReverted `json:"reverted,omitempty"` // how the group ended
}

// Reader queries the read model. It is safe for concurrent use. If the database is missing,
// damaged or of another version, [projections.NeedsRebuild] is true for its errors.
type Reader struct{ tables *projections.Tables }

// NewReader returns a reader of an open database. It does not access the database.
func NewReader(db *sql.DB) *Reader { return &Reader{projections.NewTables(db, Name, Version)} }

// Profiles returns the current limit profiles, sorted by name.
func (r *Reader) Profiles(ctx context.Context) ([]Profile, error) {
	return projections.QueryAll(ctx, r.tables, scanProfile, `SELECT position, at, fact FROM profiles ORDER BY name`)
}

func scanProfile(rows *sql.Rows) (p Profile, err error) {
	var at int64
	var fact string
	if err := rows.Scan(&p.Position, &at, &fact); err != nil {
		return p, err
	}
	p.At = time.Unix(0, at).UTC()
	return p, json.Unmarshal([]byte(fact), &p.LimitProfile)
}

// Filter selects groups. The zero Filter selects all groups.
type Filter struct {
	Unit       string // the name of the group; "" selects every name
	OnlyActive bool   // select only groups without a recorded end
	Limit      int    // the maximum number of groups, the newest first; 0 means all
}

// LimitedGroups returns the selected groups, oldest first.
func (r *Reader) LimitedGroups(ctx context.Context, f Filter) ([]LimitedGroup, error) {
	if f.Limit <= 0 {
		f.Limit = -1
	}
	return projections.QueryAll(ctx, r.tables, scanGroup, `SELECT * FROM (SELECT position, at, fact, coalesce(ended, 0), coalesce(reverted, '') FROM applied
		WHERE (?1 = '' OR unit = ?1) AND (NOT ?2 OR ended IS NULL) ORDER BY position DESC LIMIT ?3) ORDER BY position`, f.Unit, f.OnlyActive, f.Limit)
}

func scanGroup(rows *sql.Rows) (g LimitedGroup, err error) {
	var at, ended int64
	var fact, reverted string
	if err := rows.Scan(&g.Position, &at, &fact, &ended, &reverted); err != nil {
		return g, err
	}
	g.At = time.Unix(0, at).UTC()
	err = json.Unmarshal([]byte(fact), &g.LimitsApplied)
	if reverted != "" {
		g.Ended = time.Unix(0, ended).UTC()
		err = errors.Join(err, json.Unmarshal([]byte(reverted), &g.Reverted))
	}
	return g, err
}

// Find returns the newest group with the given name, or ErrNotFound.
func (r *Reader) Find(ctx context.Context, unit string) (LimitedGroup, error) {
	list, err := r.LimitedGroups(ctx, Filter{Unit: unit, Limit: 1})
	if err == nil && len(list) == 0 || unit == "" {
		err = errors.Join(err, &events.Error{Op: "limits.Find", Kind: events.ErrNotFound, Subject: fmt.Sprintf("%q", unit), Err: errors.New("no group of this name was limited"), Hint: "see 'cortex limits list'"})
	}
	if err != nil {
		return LimitedGroup{}, err
	}
	return list[0], nil
}
