package projections

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"cortex/events"
)

// errUnreadable marks a read model that can only be rebuilt.
var errUnreadable = errors.New("unreadable")

// SQLite's result codes that decide what happens next (sqlite.org/rescode.html).
const (
	codeError      = 1
	codeCorrupt    = 11
	codeCantOpen   = 14
	codeTooBig     = 18
	codeConstraint = 19
	codeMismatch   = 20
	codeNotADB     = 26
)

// sqliteCode is the primary result code of an error of SQLite, or 0. The driver
// is not imported: its error only has to tell its code.
func sqliteCode(err error) int {
	var coded interface {
		error
		Code() int
	}
	if !errors.As(err, &coded) {
		return 0
	}
	return coded.Code() & 0xff
}

// NeedsRebuild reports whether err, from a query or from [CheckVersion], says that
// the read model is missing, damaged or of another version: rebuilding helps,
// asking again does not.
func NeedsRebuild(err error) bool {
	if errors.Is(err, errUnreadable) || errors.Is(err, fs.ErrNotExist) {
		return true
	}
	switch sqliteCode(err) {
	case codeCorrupt, codeCantOpen, codeNotADB:
		return true
	case codeError:
		return strings.Contains(err.Error(), "no such table") || strings.Contains(err.Error(), "no such column")
	}
	return false
}

// needsRebuildError is the error for a read model that has to be rebuilt.
func needsRebuildError(name string, cause error) error {
	return &events.Error{
		Op: "projections", Kind: events.ErrUnavailable, Subject: "read model " + name,
		Err: fmt.Errorf("%w: %w", errUnreadable, cause), Hint: "'cortex replay' rebuilds it from the log",
	}
}

// CheckVersion is what a reader without a [ReadModel] asks first: whether db holds
// the projection in the version this program knows. It costs one look at the
// file's header. For every error, [NeedsRebuild] tells whether a rebuild helps.
func CheckVersion(ctx context.Context, db *sql.DB, name string, version int) error {
	var have int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return WrapError(name, err)
	}
	if have != version {
		return needsRebuildError(name, fmt.Errorf("it has version %d, this program knows %d", have, version))
	}
	return nil
}

// WrapError makes a query's error one that a person can act upon.
func WrapError(name string, err error) error {
	var known *events.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case NeedsRebuild(err) && events.HintOf(err) == "":
		return needsRebuildError(name, err)
	case errors.As(err, &known):
		return err
	}
	return &events.Error{Op: "projections", Kind: events.ErrUnavailable, Subject: "read model " + name, Err: err}
}

// isRecordError reports whether an error of applying one record is the record's
// own, rather than the database's or the caller's.
func isRecordError(err error) bool {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, sql.ErrTxDone), errors.Is(err, sql.ErrConnDone), errors.Is(err, driver.ErrBadConn):
		return false
	}
	switch sqliteCode(err) {
	case 0, codeTooBig, codeConstraint, codeMismatch:
		return true
	}
	return false
}

// classifyWriteError tells whose fault a failed write was: damage is ErrCorrupt and
// stops the model, anything else may pass.
func classifyWriteError(name string, err error) error {
	var known *events.Error
	switch {
	case errors.As(err, &known):
		return err
	case NeedsRebuild(err):
		return &events.Error{
			Op: "projections.Apply", Kind: events.ErrCorrupt, Subject: "read model " + name, Err: err,
			Hint: "'cortex replay' rebuilds it from the log",
		}
	}
	return &events.Error{Op: "projections.Apply", Kind: events.ErrUnavailable, Subject: "read model " + name, Err: err}
}
