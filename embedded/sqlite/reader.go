package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// OpenReader gives a pool of at most size connections that only read. It never
// makes a database: a missing one is ErrNotFound. It touches the file only when
// the first query comes, so that a command starts fast; what is wrong inside is
// told by that query (see [IsCorrupt]).
//
// A reader without the right to write beside the file reads it as it lies there
// when nobody has it open; what a crash left unfolded it cannot read without
// help, and says so with ErrUnavailable.
func OpenReader(_ context.Context, path string, size int) (*sql.DB, error) {
	if size <= 0 {
		size = DefaultPoolSize
	}
	real, err := realPath(path, nil)
	if err != nil {
		return nil, wrapError("open", path, err)
	}
	options := []string{"mode", "ro", "_pragma", "busy_timeout(5000)"}
	alone, err := mustOpenImmutable(real)
	if err != nil {
		return nil, err
	}
	if alone {
		options = append(options, "immutable", "1")
	}
	db, err := openPool(real, size, options...)
	if err != nil {
		return nil, wrapError("open", path, err)
	}
	return db, nil
}

// minFreeBytes is what must be free on a disk, in bytes, for the index that is shared
// with a writer to be made there.
const minFreeBytes = 64 << 10

// minSharedIndexBytes is the least size of that index, in bytes; one that is smaller could
// not be made for want of room, and nobody uses it.
const minSharedIndexBytes = 32 << 10

// mustOpenImmutable reports whether the file must be read without the index that is
// shared with a writer: there is none, we could not make it for want of rights or
// of room, and it is not needed because everything is in the file itself.
func mustOpenImmutable(path string) (bool, error) {
	if index, err := os.Stat(path + "-shm"); err == nil && index.Size() >= minSharedIndexBytes {
		return false, nil
	}
	var disk unix.Statfs_t
	dir := filepath.Dir(path)
	full := unix.Statfs(dir, &disk) == nil && int64(disk.Bavail)*disk.Bsize < minFreeBytes //nolint:gosec // no disk has 2^63 blocks
	if !full && unix.Access(dir, unix.W_OK) == nil {
		return false, nil
	}
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		return true, nil
	}
	return false, &events.Error{
		Op: "sqlite.OpenReader", Kind: events.ErrUnavailable, Subject: path,
		Err:  errors.New("it was not closed in order, and repairing that needs its owner, and room"),
		Hint: "run the command once as root, or start the daemon; is the disk full?",
	}
}

// OpenInMemory gives an empty database of one connection that is in memory only, and
// gone when it is closed.
func OpenInMemory() (*sql.DB, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, wrapError("open", ":memory:", err)
	}
	db.SetMaxOpenConns(1)
	db.SetConnMaxLifetime(0)
	return db, nil
}
