package sqlite

import (
	"errors"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// IsCorrupt reports whether err says that a file is damaged, cut short, or not a
// database at all. Such a read model is rebuilt.
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

// isFull reports whether there was no room to write, be it only the index that is
// shared with readers.
func isFull(err error) bool {
	var e *sqlite.Error
	return errors.Is(err, unix.ENOSPC) || errors.As(err, &e) && (e.Code()&0xff == sqlite3.SQLITE_FULL || e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE)
}
