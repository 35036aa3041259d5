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

// OpenReader returns a pool of at most size read-only connections. It never creates a
// database: a missing one is ErrNotFound. The first query opens the file, so that commands
// start fast. Therefore that query reports a damaged file (see [IsCorrupt]).
//
// A process that cannot write to the directory reads the file directly while no other
// process has it open. After a crash, committed data may be in the log (-wal) only. Then
// such a process cannot read it, and OpenReader fails with ErrUnavailable.
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

// minFreeBytes is how many bytes must be free on a disk to create the shared index (-shm)
// there.
const minFreeBytes = 64 << 10

// minSharedIndexBytes is the minimum size of that index. A smaller one is a failed attempt
// on a full disk, and no process uses it.
const minSharedIndexBytes = 32 << 10

// mustOpenImmutable reports whether the file must be read without the shared index. That
// is so when there is none, this process cannot create one, and the log (-wal) is empty. If
// the log is not empty, the file cannot be read and the error is ErrUnavailable.
func mustOpenImmutable(path string) (bool, error) {
	if index, err := os.Stat(path + "-shm"); err == nil && index.Size() >= minSharedIndexBytes {
		return false, nil
	}
	var disk unix.Statfs_t
	dir := filepath.Dir(path)
	full := unix.Statfs(dir, &disk) == nil && int64(disk.Bavail)*disk.Bsize < minFreeBytes // no disk has 2^63 blocks
	if !full && unix.Access(dir, unix.W_OK) == nil {
		return false, nil
	}
	if log, err := os.Stat(path + "-wal"); err != nil || log.Size() == 0 {
		return true, nil
	}
	return false, &events.Error{
		Op: "sqlite.OpenReader", Kind: events.ErrUnavailable, Subject: path,
		Err:  errors.New("it was not closed properly, and only its owner can repair it, with free disk space"),
		Hint: "run the command once as root, or start the daemon; check that the disk is not full",
	}
}

// OpenInMemory returns an empty database in memory, with one connection. Closing it deletes
// the data.
func OpenInMemory() (*sql.DB, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, wrapError("open", ":memory:", err)
	}
	db.SetMaxOpenConns(1)
	db.SetConnMaxLifetime(0)
	return db, nil
}
