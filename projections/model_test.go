package projections_test

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
	"cortex/projections/projectiontest"
)

// setup is an open model on a log that holds 40 facts, none applied yet.
type setup struct {
	*projections.ReadModel
	log     *memlog.Log
	records []events.Record
	dir     string
	told    []projections.DeadLetter
	now     time.Time
}

func newSetup(t *testing.T, p projections.Projection) *setup {
	t.Helper()
	x := uint32(1)
	records := projectiontest.Generate(func(n int) int { x = x*1664525 + 1013904223; return int(x>>8) % n }, 40)
	s := &setup{log: projectiontest.Log(t, records), records: records, dir: t.TempDir(), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	m, err := projections.New(p, projectiontest.Open, projections.Config{
		Dir: s.dir, Now: func() time.Time { return s.now }, OnDeadLetter: func(d projections.DeadLetter) { s.told = append(s.told, d) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.ReadModel = m
	if err := m.Open(t.Context(), memlog.New(projectiontest.Host)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *setup) count(t *testing.T) (n int) {
	t.Helper()
	err := s.Read(t.Context(), func(db *sql.DB) error {
		return db.QueryRowContext(t.Context(), `SELECT count(*) FROM seen`).Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDeadLetters(t *testing.T) {
	unlucky := events.Position(17)
	for name, fails := range map[string]func(r events.Record) error{
		"an error": func(r events.Record) error {
			if r.Position == unlucky {
				return errUnlucky
			}
			return nil
		},
		"a panic": func(r events.Record) error {
			if r.Position == unlucky {
				panic(errUnlucky)
			}
			return nil
		},
	} {
		t.Run(name+" puts one fact aside, undoes what it wrote, and goes on", func(t *testing.T) {
			s := newSetup(t, tally{fails: fails})
			if err := s.Apply(t.Context(), s.records); err != nil {
				t.Fatal(err)
			}
			if n := s.count(t); n != 39 {
				t.Errorf("%d facts were counted, not 39", n)
			}
			letters, err := s.DeadLetters(t.Context())
			if err != nil || len(letters) != 1 || letters[0].Position != unlucky || !strings.Contains(letters[0].Error, "unlucky") {
				t.Errorf("dead letters: %v, %v", letters, err)
			}
			if diff := cmp.Diff(letters, s.told); diff != "" {
				t.Errorf("something else was reported: %s", diff)
			}
			if at, err := s.Checkpoint(t.Context()); err != nil || at != s.records[39].Link() {
				t.Errorf("the checkpoint is %v, %v", at, err)
			}
		})
	}
	t.Run("an error that goes away by itself puts nothing aside", func(t *testing.T) {
		failures := 0
		s := newSetup(t, tally{fails: func(r events.Record) error {
			if r.Position == unlucky && failures < 2 {
				failures++
				return errUnlucky
			}
			return nil
		}})
		if err := s.Apply(t.Context(), s.records); err != nil {
			t.Fatal(err)
		}
		if n := s.count(t); n != 40 || len(s.told) != 0 {
			t.Errorf("%d facts were counted, %v were put aside", n, s.told)
		}
	})
	t.Run("a cancelled batch puts nothing aside", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSetup(t, tally{fails: func(r events.Record) error {
			if r.Position == unlucky {
				cancel()
				return ctx.Err()
			}
			return nil
		}})
		if err := s.Apply(ctx, s.records); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if n := s.count(t); n != 0 || len(s.told) != 0 {
			t.Errorf("%d facts were counted, %v were put aside", n, s.told)
		}
	})
}

func TestModel(t *testing.T) {
	t.Run("it refuses a name that is no file name", func(t *testing.T) {
		for _, name := range []string{"", "a-b", "../x", "History"} {
			if _, err := projections.New(named{name: name}, projectiontest.Open, projections.Config{Dir: t.TempDir()}); err == nil {
				t.Errorf("%q was accepted", name)
			}
		}
	})
	t.Run("lag counts what is not in yet", func(t *testing.T) {
		s := newSetup(t, tally{})
		if err := s.Apply(t.Context(), s.records[:25]); err != nil {
			t.Fatal(err)
		}
		if lag, err := s.Lag(t.Context(), s.log); err != nil || lag != 15 {
			t.Errorf("lag is %d, %v", lag, err)
		}
	})
	t.Run("a closed model says so and can be opened again", func(t *testing.T) {
		s := newSetup(t, tally{})
		if err := s.Apply(t.Context(), s.records); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Apply(t.Context(), s.records); !errors.Is(err, events.ErrUnavailable) {
			t.Errorf("apply: %v", err)
		}
		if _, err := s.Checkpoint(t.Context()); !errors.Is(err, events.ErrUnavailable) {
			t.Errorf("checkpoint: %v", err)
		}
		if err := s.Open(t.Context(), s.log); err != nil || s.RebuildReason() != "" {
			t.Errorf("open: %v, %q", err, s.RebuildReason())
		}
		if err := s.Open(t.Context(), s.log); !errors.Is(err, events.ErrUnavailable) {
			t.Errorf("open what is open: %v", err)
		}
		for _, rebuilt := range []bool{true, false} {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if rebuilt {
				if err := os.Remove(s.Path()); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Open(t.Context(), s.log); err != nil || (s.RebuildReason() != "") != rebuilt {
				t.Errorf("open: %v, it tells %q", err, s.RebuildReason())
			}
		}
	})
	t.Run("damage found while applying is corrupt, and a rebuild mends it", func(t *testing.T) {
		s := newSetup(t, tally{})
		if err := s.Apply(t.Context(), s.records[:30]); err != nil {
			t.Fatal(err)
		}
		behindItsBack(t, s.Path(), `DROP TABLE kinds`)
		if err := s.Apply(t.Context(), s.records[30:]); !errors.Is(err, events.ErrCorrupt) || events.HintOf(err) == "" {
			t.Fatalf("got %v", err)
		}
		if len(s.told) != 0 {
			t.Errorf("the facts were blamed: %v", s.told)
		}
		if err := s.Rebuild(t.Context(), s.log); err != nil {
			t.Fatal(err)
		}
		if n := s.count(t); n != 40 {
			t.Errorf("%d facts are in", n)
		}
	})
	t.Run("a checkpoint moved by somebody else is noticed", func(t *testing.T) {
		s := newSetup(t, tally{})
		if err := s.Apply(t.Context(), s.records[:30]); err != nil {
			t.Fatal(err)
		}
		behindItsBack(t, s.Path(), `UPDATE checkpoint SET position = 12`)
		if err := s.Apply(t.Context(), s.records[30:]); !errors.Is(err, events.ErrConflict) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a rebuild that fails leaves everything as it was", func(t *testing.T) {
		s := newSetup(t, tally{})
		if err := s.Apply(t.Context(), s.records); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadDir(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Rebuild(ctx, s.log); err == nil {
			t.Fatal("it did not fail")
		}
		after, err := os.ReadDir(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(before) != len(after) {
			t.Errorf("files before: %v, after: %v", before, after)
		}
		if n := s.count(t); n != 40 {
			t.Errorf("%d facts are in", n)
		}
	})
	t.Run("an answer that is being read survives a rebuild", func(t *testing.T) {
		s := newSetup(t, tally{})
		if err := s.Apply(t.Context(), s.records); err != nil {
			t.Fatal(err)
		}
		db, err := projectiontest.OpenReader(s.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = db.Close() }()
		rows, err := db.QueryContext(t.Context(), `SELECT position FROM seen`)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := s.Rebuild(t.Context(), s.log); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || n != 40 {
			t.Errorf("the reader got %d rows, %v", n, err)
		}
	})
	t.Run("what is applied during a rebuild is in afterwards", func(t *testing.T) {
		s := newSetup(t, tally{})
		if err := s.Apply(t.Context(), s.records[:20]); err != nil {
			t.Fatal(err)
		}
		log := &growingLog{Log: projectiontest.Log(t, s.records[:20]), grow: func(log *memlog.Log) {
			projectiontest.Append(t, log, s.records[20:])
			if err := s.Apply(t.Context(), s.records[20:]); err != nil {
				t.Error(err)
			}
		}}
		if err := s.Rebuild(t.Context(), log); err != nil {
			t.Fatal(err)
		}
		if at, err := s.Checkpoint(t.Context()); err != nil || at != s.records[39].Link() || s.count(t) != 40 {
			t.Errorf("the model went back to %d, %v", at.Position, err)
		}
	})
	t.Run("a reader that has just read the link still finds its file", func(t *testing.T) {
		s := newSetup(t, tally{})
		if err := s.Apply(t.Context(), s.records); err != nil {
			t.Fatal(err)
		}
		file, err := filepath.EvalSymlinks(s.Path())
		if err != nil {
			t.Fatal(err)
		}
		for i, after := range []time.Duration{0, 0, 30 * time.Second, 29 * time.Second, time.Second} {
			s.now = s.now.Add(after)
			if err := s.Rebuild(t.Context(), s.log); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(file); (err == nil) != (i < 4) {
				t.Errorf("after %d rebuilds: %v", i+1, err)
			}
		}
	})
	t.Run("left-overs of a process that died are cleared away", func(t *testing.T) {
		s := newSetup(t, tally{})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, base := range []string{"tally-77.db", "tally-77.db-wal", "tally-verify.db", "tally-78.db-shm"} {
			if err := os.WriteFile(filepath.Join(s.dir, base), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		foreign := filepath.Join(s.dir, "tally-notes.db")
		if err := os.WriteFile(foreign, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Open(t.Context(), s.log); err != nil {
			t.Fatal(err)
		}
		left, err := filepath.Glob(filepath.Join(s.dir, "tally-7*"))
		if err != nil || len(left) > 0 {
			t.Errorf("left: %v, %v", left, err)
		}
		if _, err := os.Stat(foreign); err != nil {
			t.Errorf("what is not ours is gone: %v", err)
		}
	})
}

// growingLog grows at the end of its first reading.
type growingLog struct {
	*memlog.Log
	grow func(*memlog.Log)
}

func (l *growingLog) Read(ctx context.Context, q events.Query) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		l.Log.Read(ctx, q)(yield)
		if grow := l.grow; grow != nil {
			l.grow = nil
			grow(l.Log)
		}
	}
}

type named struct {
	tally
	name string
}

func (n named) Name() string { return n.name }

func behindItsBack(t *testing.T, path, statement string) {
	t.Helper()
	store, err := projectiontest.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	err = store.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), statement)
		return err
	})
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
}
