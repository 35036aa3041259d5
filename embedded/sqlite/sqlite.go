// Package sqlite opens SQLite files for read models.
//
// It promises:
//
//   - One writer. Write transactions are queued and run one after the other on a single
//     connection. Each is atomic, and none fails with "database is locked".
//   - Readers and the writer never wait for each other (WAL). Readers see committed data
//     only and cannot write.
//   - A read-only pool creates no database and needs read permission only.
//   - A damaged file, or one that is not a database, is recognized: see [IsCorrupt].
//
// A commit survives a crash of the process. A power failure may undo the last commits
// completely, but never a part of one (synchronous=NORMAL). For read models that is enough:
// the checkpoint is in the same transaction as the data, so the projector applies the lost
// events again.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver registers itself as "sqlite"

	"cortex/events"
)

// DefaultPoolSize is the default number of connections for reading.
const DefaultPoolSize = 4

// Config names the file to open.
type Config struct {
	Path     string
	PoolSize int // connections for reading; 0 means DefaultPoolSize
}

// Store is a database that is open for writing and reading. [Open] returns one.
type Store struct {
	path    string
	writer  *sql.DB // one connection, for which transactions queue in order
	readers *sql.DB
}

// Open opens a database. It creates a missing one, which all users can read. It fails with
// ErrCorrupt when the file is damaged or not a database.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.PoolSize <= 0 {
		cfg.PoolSize = DefaultPoolSize
	}
	path, err := createFile(cfg.Path)
	if err != nil {
		return nil, wrapError("open", cfg.Path, err)
	}
	s := &Store{path: path}
	if s.writer, err = openPool(path, 1, "_txlock", "immediate",
		"_pragma", "busy_timeout(5000)", "_pragma", "journal_mode(WAL)",
		"_pragma", "synchronous(NORMAL)", "_pragma", "foreign_keys(1)"); err != nil {
		return nil, wrapError("open", path, err)
	}
	if s.readers, err = openPool(path, cfg.PoolSize, "_pragma", "busy_timeout(5000)", "_pragma", "query_only(1)"); err != nil {
		return nil, errors.Join(wrapError("open", path, err), s.writer.Close())
	}
	// A query of the schema reads the file's header; a ping does not.
	for _, db := range []*sql.DB{s.writer, s.readers} {
		if _, err := db.ExecContext(ctx, "SELECT count(*) FROM sqlite_schema"); err != nil {
			return nil, errors.Join(wrapError("open", path, err), s.Close())
		}
	}
	return s, nil
}

// createFile creates the directory and the file, readable for all users, and returns the
// real path.
func createFile(path string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) // all users may read the read models
	if err != nil {
		return "", err
	}
	return realPath(path, f.Close())
}

// realPath follows symbolic links, because SQLite creates its other files beside the real
// file. It returns err if that is not nil.
func realPath(path string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// openPool returns a pool of at most n connections and opens none yet.
func openPool(path string, n int, options ...string) (*sql.DB, error) {
	q := url.Values{}
	for i := 0; i < len(options); i += 2 {
		q.Add(options[i], options[i+1])
	}
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// Write runs f in a transaction, after the transactions before it. It commits when f
// returns nil. It rolls back when f fails or panics, or when ctx is done first. f must use
// tx only, and must not use it after it returns.
func (s *Store) Write(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return wrapError("write", s.path, err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return wrapError("write", s.path, err)
	}
	return nil
}

// Reader returns the pool of read-only connections. The caller must not close it.
func (s *Store) Reader() *sql.DB { return s.readers }

// Close waits for the running transaction and closes the database. The last process that
// closes it moves the log (-wal) into the file.
func (s *Store) Close() error {
	if err := errors.Join(s.readers.Close(), s.writer.Close()); err != nil {
		return wrapError("close", s.path, err)
	}
	return nil
}

// wrapError returns an error of the file system or SQLite with its kind.
func wrapError(op, path string, err error) error {
	e := &events.Error{Op: "sqlite." + op, Kind: events.ErrUnavailable, Subject: path, Err: err}
	switch {
	case IsCorrupt(err):
		e.Kind = events.ErrCorrupt
	case isFull(err):
		e.Kind, e.Hint, e.Err = events.ErrFull, "make room on that disk", fmt.Errorf("the disk is full: %w", err)
	case errors.Is(err, os.ErrNotExist):
		e.Kind = events.ErrNotFound
	case errors.Is(err, os.ErrPermission):
		e.Err = fmt.Errorf("no permission to use it: %w", err)
	}
	return e
}
