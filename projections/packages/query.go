package packages

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"cortex/events"
	"cortex/projections"
)

// FormatVersion is the version of the JSON form of the results.
const FormatVersion = 1

// CauseKind is the kind of fact that changed a package.
type CauseKind string

// The kinds of causes.
const (
	ByBaseline    CauseKind = "adopted"     // the inventory baseline
	ByDrift       CauseKind = "drifted"     // a change outside Cortex
	ByTransaction CauseKind = "transaction" // a transaction, including an observed one
)

// ChangeCause is the fact that recorded a change.
type ChangeCause struct {
	Position    events.Position      `json:"position"`
	At          time.Time            `json:"at"` // when it was recorded
	Kind        CauseKind            `json:"source"`
	Transaction events.TransactionID `json:"transaction,omitempty"`
	Number      int                  `json:"number,omitempty"` // of the transaction
	Verb        events.Verb          `json:"verb,omitempty"`   // of the transaction
}

// PackageRow is the recorded state of a package and its last change.
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
	NamePattern string        // a name; * matches any characters
	Status      events.Status // as in dpkg
	Held        bool          // select only packages on hold
	Mark        Mark          // select only packages with this mark
	Limit       int           // the maximum number of packages; 0 means all
}

// Mark distinguishes automatic from manual installation.
type Mark string

// The marks.
const (
	MarkAny    Mark = ""
	MarkAuto   Mark = "auto"
	MarkManual Mark = "manual"
)

// Reader queries the read model. It is safe for concurrent use. If the database is missing,
// damaged or of another version, [projections.NeedsRebuild] is true for its errors.
type Reader struct{ tables *projections.Tables }

// NewReader returns a reader of an open database. It does not access the database.
func NewReader(db *sql.DB) *Reader { return &Reader{projections.NewTables(db, Name, Version)} }

const causeColumns = `c.position, c.at, c.source, c.txn, coalesce(t.number, 0), coalesce(t.verb, '')`

const packageQuery = `SELECT p.name, p.arch, p.version, p.want, p.flag, p.status, p.auto, ` + causeColumns + `
	FROM current p JOIN causes c ON c.position = p.position LEFT JOIN transactions t ON t.id = c.txn`

// Get returns one package. It returns ErrNotFound if the package is not recorded.
func (r *Reader) Get(ctx context.Context, k events.PackageKey) (PackageRow, error) {
	found, err := r.packages(ctx, packageQuery+` WHERE p.name = ? AND p.arch = ?`, string(k.Name), string(k.Arch))
	if err != nil {
		return PackageRow{}, err
	}
	if len(found) == 0 {
		return PackageRow{}, &events.Error{Op: "packages.Get", Kind: events.ErrNotFound, Subject: k.String(), Err: errors.New("not installed on this machine")}
	}
	return found[0], nil
}

// List returns the selected packages, sorted by name and architecture.
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

// globEscape quotes the special characters of GLOB other than *.
func globEscape(s string) string { return strings.NewReplacer("[", "[[]", "?", "[?]").Replace(s) }

// Changes returns the changes of a package, newest first. An empty architecture selects all
// architectures. The limit 0 means all changes.
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
	return projections.QueryAll(ctx, r.tables, scanChange, query, args...)
}

func (r *Reader) packages(ctx context.Context, query string, args ...any) ([]PackageRow, error) {
	return projections.QueryAll(ctx, r.tables, scanPackage, query, args...)
}

func scanChange(rows *sql.Rows) (c ChangeRow, err error) {
	b, a := &c.Before, &c.After
	err = scanWithCause(rows, &c.Cause, &c.Name, &c.Arch, &b.Version, &b.Want, &b.Flag, &b.Status, &b.Auto, &a.Version, &a.Want, &a.Flag, &a.Status, &a.Auto)
	return c, err
}

func scanPackage(rows *sql.Rows) (p PackageRow, err error) {
	err = scanWithCause(rows, &p.LastChange, &p.Name, &p.Arch, &p.Version, &p.Want, &p.Flag, &p.Status, &p.Auto)
	return p, err
}

// scanWithCause reads columns into dest and then causeColumns into cause.
func scanWithCause(rows *sql.Rows, cause *ChangeCause, dest ...any) error {
	var nanos int64
	dest = append(dest, &cause.Position, &nanos, &cause.Kind, &cause.Transaction, &cause.Number, &cause.Verb)
	err := rows.Scan(dest...)
	cause.At = time.Unix(0, nanos).UTC()
	return err
}
