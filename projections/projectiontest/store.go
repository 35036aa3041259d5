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

// Store is a plain [projections.Store] for tests: one connection that writes, a
// few that read, and no care for power cuts.
type Store struct{ writer, reader *sql.DB }

var _ projections.Store = (*Store)(nil)

// Open is a [projections.OpenStore].
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

// OpenReader opens a file as a command without a daemon does: read-only.
func OpenReader(path string) (*sql.DB, error) {
	return open(path, "mode=ro&_pragma=busy_timeout(5000)", 1)
}

// BuildModel is a read model in dir that has these records, and a reader of its file. Both end
// with the test; a dead letter fails it.
func BuildModel(t TB, p projections.Projection, dir string, records []events.Record) (*projections.ReadModel, *sql.DB) {
	t.Helper()
	m, err := projections.New(p, Open, projections.Config{
		Dir: dir, OnDeadLetter: func(d projections.DeadLetter) { t.Errorf("%s", d) },
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
