package projectiontest

import (
	"context"
	"database/sql"
	"errors"
	"net/url"

	_ "modernc.org/sqlite" // the driver

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
)

// Store is a [projections.Store] for tests. It has one connection for writes and four for
// reads, and does not sync to disk.
type Store struct{ writer, reader *sql.DB }

var _ projections.Store = (*Store)(nil)

// Open opens a [Store]. It is a [projections.OpenStore].
func Open(ctx context.Context, path string) (projections.Store, error) {
	writer, err := open(path, "_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)", 1)
	if err != nil {
		return nil, err
	}
	if err := writer.PingContext(ctx); err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader, err := open(path, "_pragma=busy_timeout(5000)&_pragma=query_only(1)", 4)
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	return &Store{writer, reader}, nil
}

// OpenReader opens a file read-only, as a command without a daemon does.
func OpenReader(path string) (*sql.DB, error) {
	return open(path, "mode=ro&_pragma=busy_timeout(5000)", 1)
}

// BuildModel applies records to a new read model in dir. It returns the read model and a
// read-only database of its file, and closes both at the end of the test. A dead letter
// fails the test.
func BuildModel(t TB, d projections.Definition, dir string, records []events.Record) (*projections.ReadModel, *sql.DB) {
	t.Helper()
	m, err := projections.New(d, Open, projections.Config{
		Dir: dir, OnDeadLetter: func(letter projections.DeadLetter) { t.Errorf("%s", letter) },
	})
	must(t, err)
	must(t, m.Open(context.Background(), memlog.New(Host)))
	must(t, m.Apply(context.Background(), records))
	db, err := OpenReader(m.Path())
	must(t, err)
	t.Cleanup(func() {
		if err := errors.Join(db.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	})
	return m, db
}

func open(path, query string, connections int) (*sql.DB, error) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: query}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

// Write implements [projections.Store].
func (s *Store) Write(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Reader implements [projections.Store].
func (s *Store) Reader() *sql.DB { return s.reader }

// Close implements [projections.Store].
func (s *Store) Close() error { return errors.Join(s.reader.Close(), s.writer.Close()) }
