// Package sqlite opens SQLite files for read models. It is the only package that
// imports the driver.
//
// It promises:
//
//   - One writer. Write transactions are queued and run one after the other on a
//     single connection, each whole or not at all; nobody meets "database is
//     locked".
//   - Readers never wait for the writer nor hold it up (WAL), see only what was
//     committed, and cannot write.
//   - A read-only reader makes no database and needs no rights but to read.
//   - A file that is no database or is damaged is recognised: see [IsCorrupt].
//
// A commit survives the loss of the process; the last ones may be lost with the
// power (synchronous=NORMAL), never half of one. Read models can be rebuilt, and
// their checkpoint is lost together with what it stands for.
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

// DefaultPoolSize is how many connections read at once, unless configured.
const DefaultPoolSize = 4

// Config says which file is opened.
type Config struct {
	Path     string
	PoolSize int // of readers; 0 is DefaultPoolSize
}

// Store is a database open for writing and reading. Use [Open].
type Store struct {
	path    string
	writer  *sql.DB // of exactly one connection, which queues its users in order
	readers *sql.DB
}

// Open opens a database, and makes it, readable for all, when there is none. It
// fails with ErrCorrupt when the file is not a sound database.
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
	// Looking into the schema reads the file's header; a ping alone does not.
	for _, db := range []*sql.DB{s.writer, s.readers} {
		if _, err := db.ExecContext(ctx, "SELECT count(*) FROM sqlite_schema"); err != nil {
			return nil, errors.Join(wrapError("open", path, err), s.Close())
		}
	}
	return s, nil
}

// createFile makes directory and file with modes that let everybody read.
func createFile(path string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) //nolint:gosec // read models are for everybody
	if err != nil {
		return "", err
	}
	return realPath(path, f.Close())
}

// realPath follows links: SQLite keeps its other files beside the real one.
func realPath(path string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// openPool gives a pool of at most n connections; none is opened yet.
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

// Write runs f in a transaction of its own, when those that came before are
// done. It commits when f returns nil; when f fails or panics, or ctx is done
// before, nothing of it stays. f must use only tx and must end before Write does.
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

// Reader is the pool of read-only connections. It must not be closed.
func (s *Store) Reader() *sql.DB { return s.readers }

// Close waits for the running transaction and closes everything; the last one to
// leave a database folds its log into the file.
func (s *Store) Close() error {
	if err := errors.Join(s.readers.Close(), s.writer.Close()); err != nil {
		return wrapError("close", s.path, err)
	}
	return nil
}

// wrapError classifies what the file system or SQLite said.
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
		e.Err = fmt.Errorf("no right to use it: %w", err)
	}
	return e
}
