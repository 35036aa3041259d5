package limits

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"cortex/events"
	"cortex/projections"
)

// FormatVersion is the version of the JSON form of the answers.
const FormatVersion = 1

// Profile is a profile as it was set last.
type Profile struct {
	events.LimitProfile
	Position events.Position `json:"position"`
	At       time.Time       `json:"at"`
}

// LimitedGroup is a group of processes that was put under limits.
type LimitedGroup struct {
	events.LimitsApplied
	Position events.Position        `json:"position"`
	At       time.Time              `json:"at"`
	Ended    time.Time              `json:"ended,omitzero"`     // zero: no end is on record
	Reverted *events.LimitsReverted `json:"reverted,omitempty"` // how it ended
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

// Profiles gives every profile that was set, by name.
func (r *Reader) Profiles(ctx context.Context) ([]Profile, error) {
	out := []Profile{}
	err := r.each(ctx, `SELECT position, at, fact FROM profiles ORDER BY name`, nil, func(rows *sql.Rows) error {
		var p Profile
		var at int64
		var fact string
		if err := rows.Scan(&p.Position, &at, &fact); err != nil {
			return err
		}
		p.At = time.Unix(0, at).UTC()
		out = append(out, p)
		return json.Unmarshal([]byte(fact), &out[len(out)-1].LimitProfile)
	})
	return out, err
}

// Filter selects groups.
type Filter struct {
	Unit       string // "" is every one
	OnlyActive bool   // only those without an end on record
	Limit      int    // the newest so many; 0 is all
}

// LimitedGroups gives groups, oldest first.
func (r *Reader) LimitedGroups(ctx context.Context, f Filter) ([]LimitedGroup, error) {
	if f.Limit <= 0 {
		f.Limit = -1
	}
	out := []LimitedGroup{}
	err := r.each(ctx, `SELECT * FROM (SELECT position, at, fact, coalesce(ended, 0), coalesce(reverted, '') FROM applied
		WHERE (?1 = '' OR unit = ?1) AND (NOT ?2 OR ended IS NULL) ORDER BY position DESC LIMIT ?3) ORDER BY position`,
		[]any{f.Unit, f.OnlyActive, f.Limit}, func(rows *sql.Rows) error {
			var a LimitedGroup
			var at, ended int64
			var fact, reverted string
			if err := rows.Scan(&a.Position, &at, &fact, &ended, &reverted); err != nil {
				return err
			}
			a.At = time.Unix(0, at).UTC()
			err := json.Unmarshal([]byte(fact), &a.LimitsApplied)
			if reverted != "" {
				a.Ended = time.Unix(0, ended).UTC()
				err = errors.Join(err, json.Unmarshal([]byte(reverted), &a.Reverted))
			}
			out = append(out, a)
			return err
		})
	return out, err
}

// Find gives the newest group of that name, or ErrNotFound.
func (r *Reader) Find(ctx context.Context, unit string) (LimitedGroup, error) {
	list, err := r.LimitedGroups(ctx, Filter{Unit: unit, Limit: 1})
	if err == nil && len(list) == 0 || unit == "" {
		err = errors.Join(err, &events.Error{Op: "limits.Find", Kind: events.ErrNotFound, Subject: fmt.Sprintf("%q", unit), Err: errors.New("no group of that name was put under limits"), Hint: "see 'cortex limits list'"})
	}
	if err != nil {
		return LimitedGroup{}, err
	}
	return list[0], nil
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
