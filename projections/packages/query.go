package packages

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"cortex/events"
	"cortex/projections"
)

// FormatVersion is the version of the JSON form of the answers.
const FormatVersion = 1

// CauseKind is what kind of fact changed a package.
type CauseKind string

// The sources.
const (
	ByBaseline    CauseKind = "adopted"     // it was so when the machine was first seen
	ByDrift       CauseKind = "drifted"     // changed by others than us
	ByTransaction CauseKind = "transaction" // changed by a transaction of ours
)

// ChangeCause is the fact behind a state or a change.
type ChangeCause struct {
	Position    events.Position      `json:"position"`
	At          time.Time            `json:"at"` // when it was recorded
	Kind        CauseKind            `json:"source"`
	Transaction events.TransactionID `json:"transaction,omitempty"`
	Number      int                  `json:"number,omitempty"` // of the transaction
	Verb        events.Verb          `json:"verb,omitempty"`   // of the transaction
}

// PackageRow is a package's present state, and what made it so.
type PackageRow struct {
	events.Package
	LastChange ChangeCause `json:"since"`
}

// ChangeRow is one change of one package.
type ChangeRow struct {
	events.PackageChange
	Cause ChangeCause `json:"cause"`
}

// Filter selects packages. The zero Filter selects all.
type Filter struct {
	NamePattern string        // a name in which * stands for any run of characters
	Status      events.Status // dpkg's word
	Held        bool          // only those on hold
	Mark        Mark          // only those marked so
	Limit       int           // at most so many; 0 means all
}

// Mark tells automatic from manual installation.
type Mark string

// The marks.
const (
	MarkAny    Mark = ""
	MarkAuto   Mark = "auto"
	MarkManual Mark = "manual"
)

// Reader answers questions. It is safe for concurrent use. A database that is
// missing, damaged or of another version gives errors for which
// [projections.Unreadable] is true.
type Reader struct {
	db      *sql.DB
	checked atomic.Bool
}

// NewReader returns a reader of an open database. It looks at nothing yet.
func NewReader(db *sql.DB) *Reader { return &Reader{db: db} }

const causeColumns = `c.position, c.at, c.source, c.txn, coalesce(t.number, 0), coalesce(t.verb, '')`

const packageQuery = `SELECT p.name, p.arch, p.version, p.want, p.flag, p.status, p.auto, ` + causeColumns + `
	FROM current p JOIN causes c ON c.position = p.position LEFT JOIN transactions t ON t.id = c.txn`

// Get gives one package. One that the machine does not know is ErrNotFound.
func (r *Reader) Get(ctx context.Context, k events.PackageKey) (PackageRow, error) {
	found, err := r.packages(ctx, packageQuery+` WHERE p.name = ? AND p.arch = ?`, string(k.Name), string(k.Arch))
	if err != nil {
		return PackageRow{}, err
	}
	if len(found) == 0 {
		return PackageRow{}, &events.Error{Op: "packages.Get", Kind: events.ErrNotFound, Subject: k.String(), Err: errors.New("the machine does not have this package")}
	}
	return found[0], nil
}

// List gives the selected packages by name, then architecture.
func (r *Reader) List(ctx context.Context, f Filter) ([]PackageRow, error) {
	var where []string
	var args []any
	add := func(condition string, arg ...any) {
		where, args = append(where, condition), append(args, arg...)
	}
	switch {
	case strings.Contains(f.NamePattern, "*"):
		add("p.name GLOB ?", globEscape(f.NamePattern))
	case f.NamePattern != "":
		add("p.name = ?", f.NamePattern)
	}
	if f.Status != "" {
		add("p.status = ?", string(f.Status))
	}
	if f.Held {
		add("p.want = ?", string(events.WantHold))
	}
	if f.Mark != MarkAny {
		add("p.auto = ?", f.Mark == MarkAuto)
	}
	query := packageQuery
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	query += " ORDER BY p.name, p.arch"
	if f.Limit > 0 {
		query += " LIMIT ?"
		args = append(args, f.Limit)
	}
	return r.packages(ctx, query, args...)
}

// globEscape leaves * its meaning and takes GLOB's other characters literally.
func globEscape(s string) string { return strings.NewReplacer("[", "[[]", "?", "[?]").Replace(s) }

// Changes gives every change of the packages of that name, of one architecture
// or, when arch is "", of all; newest first. limit 0 means all.
func (r *Reader) Changes(ctx context.Context, k events.PackageKey, limit int) ([]ChangeRow, error) {
	query := `SELECT p.name, p.arch, p.before_version, p.before_want, p.before_flag, p.before_status, p.before_auto,
		p.after_version, p.after_want, p.after_flag, p.after_status, p.after_auto, ` + causeColumns + `
		FROM changes p JOIN causes c ON c.position = p.position LEFT JOIN transactions t ON t.id = c.txn WHERE p.name = ?`
	args := []any{string(k.Name)}
	if k.Arch != "" {
		query += " AND p.arch = ?"
		args = append(args, string(k.Arch))
	}
	query += " ORDER BY p.position DESC, p.arch"
	if limit > 0 {
		query += " LIMIT ?"
		args = append(args, limit)
	}
	out := []ChangeRow{}
	err := r.each(ctx, query, args, func(rows *sql.Rows) error {
		var c ChangeRow
		b, a := &c.Before, &c.After
		err := scan(rows, &c.Cause, &c.Name, &c.Arch, &b.Version, &b.Want, &b.Flag, &b.Status, &b.Auto, &a.Version, &a.Want, &a.Flag, &a.Status, &a.Auto)
		out = append(out, c)
		return err
	})
	return out, err
}

func (r *Reader) packages(ctx context.Context, query string, args ...any) ([]PackageRow, error) {
	out := []PackageRow{}
	err := r.each(ctx, query, args, func(rows *sql.Rows) error {
		var p PackageRow
		err := scan(rows, &p.LastChange, &p.Name, &p.Arch, &p.Version, &p.Want, &p.Flag, &p.Status, &p.Auto)
		out = append(out, p)
		return err
	})
	return out, err
}

// scan reads columns into dest and causeColumns behind them into cause.
func scan(rows *sql.Rows, cause *ChangeCause, dest ...any) error {
	var nanos int64
	dest = append(dest, &cause.Position, &nanos, &cause.Kind, &cause.Transaction, &cause.Number, &cause.Verb)
	err := rows.Scan(dest...)
	cause.At = time.Unix(0, nanos).UTC()
	return err
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
