package sqlite

import (
	"errors"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// IsCorrupt reports whether err means that a file is damaged, truncated or not a database.
// The caller rebuilds such a read model.
func IsCorrupt(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return true
	}
	return false
}

// isFull reports whether the disk was full. That includes the shared index (-shm), which
// readers need too.
func isFull(err error) bool {
	var e *sqlite.Error
	return errors.Is(err, unix.ENOSPC) || errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_FULL || e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE)
}
