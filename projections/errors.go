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

// errUnreadable marks a file that only a rebuild can replace.
var errUnreadable = errors.New("unreadable")

// The SQLite result codes that need different handling (sqlite.org/rescode.html).
const (
	codeError      = 1
	codeCorrupt    = 11
	codeCantOpen   = 14
	codeTooBig     = 18
	codeConstraint = 19
	codeMismatch   = 20
	codeNotADB     = 26
)

// sqliteCode returns the primary result code of an SQLite error, or 0 for another error.
// This package does not import the driver: any error with a Code method serves.
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

// NeedsRebuild reports whether err, from a query or from [CheckVersion], means that the
// file of the read model is missing, damaged or of another version. A rebuild helps then;
// a retry does not.
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

// needsRebuildError is the error of a read model that must be rebuilt.
func needsRebuildError(name string, cause error) error {
	return &events.Error{
		Op: "projections", Kind: events.ErrUnavailable, Subject: "read model " + name,
		Err: fmt.Errorf("%w: %w", errUnreadable, cause), Hint: "run 'cortex replay' to rebuild it from the log",
	}
}

// CheckVersion checks that db holds the named read model in the given version. It reads
// only the header of the file. [NeedsRebuild] reports of its errors whether a rebuild
// helps.
func CheckVersion(ctx context.Context, db *sql.DB, name string, version int) error {
	var have int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return WrapError(name, err)
	}
	if have != version {
		return needsRebuildError(name, fmt.Errorf("the file has version %d; this program needs version %d", have, version))
	}
	return nil
}

// WrapError adds the read model's name to the error of a query and, if a rebuild helps,
// the hint to run it. It returns nil and a context's error unchanged.
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

// isRecordError reports whether the record caused the error of applying it, rather than
// the database or the caller.
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

// classifyWriteError returns ErrCorrupt, which stops the read model, if the file is
// damaged. Any other failure is ErrUnavailable: a retry may succeed.
func classifyWriteError(name string, err error) error {
	var known *events.Error
	switch {
	case errors.As(err, &known):
		return err
	case NeedsRebuild(err):
		return &events.Error{
			Op: "projections.Apply", Kind: events.ErrCorrupt, Subject: "read model " + name, Err: err,
			Hint: "run 'cortex replay' to rebuild it from the log",
		}
	}
	return &events.Error{Op: "projections.Apply", Kind: events.ErrUnavailable, Subject: "read model " + name, Err: err}
}
