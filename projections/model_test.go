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

// setup is an open read model and a log with 40 facts, none of them applied.
type setup struct {
	*projections.ReadModel
	log     *memlog.Log
	records []events.Record
	dir     string
	letters []projections.DeadLetter // as reported to OnDeadLetter
	now     time.Time
}

func newSetup(t *testing.T, d projections.Definition) *setup {
	t.Helper()
	x := uint32(1)
	records := projectiontest.Generate(func(n int) int { x = x*1664525 + 1013904223; return int(x>>8) % n }, 40)
	s := &setup{log: projectiontest.Log(t, records), records: records, dir: t.TempDir(), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	m, err := projections.New(d, projectiontest.Open, projections.Config{
		Dir: s.dir, Now: func() time.Time { return s.now }, OnDeadLetter: func(letter projections.DeadLetter) { s.letters = append(s.letters, letter) },
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
	const failing = events.Position(17)
	for name, fail := range map[string]func(r events.Record) error{
		"an error": func(r events.Record) error {
			if r.Position == failing {
				return errInjected
			}
			return nil
		},
		"a panic": func(r events.Record) error {
			if r.Position == failing {
				panic(errInjected)
			}
			return nil
		},
	} {
		t.Run(name+" makes one dead letter and rolls back only its writes", func(t *testing.T) {
			s := newSetup(t, tally(fail))
			if err := s.Apply(t.Context(), s.records); err != nil {
				t.Fatal(err)
			}
			if n := s.count(t); n != 39 {
				t.Errorf("%d facts were counted, not 39", n)
			}
			letters, err := s.DeadLetters(t.Context())
			if err != nil || len(letters) != 1 || letters[0].Position != failing || !strings.Contains(letters[0].Error, "injected") {
				t.Errorf("dead letters: %v, %v", letters, err)
			}
			if diff := cmp.Diff(letters, s.letters); diff != "" {
				t.Errorf("reported letters (-want +got)\n%s", diff)
			}
			if at, err := s.Checkpoint(t.Context()); err != nil || at != s.records[39].Link() {
				t.Errorf("the checkpoint is %v, %v", at, err)
			}
		})
	}
	t.Run("a temporary error makes no dead letter", func(t *testing.T) {
		failures := 0
		s := newSetup(t, tally(func(r events.Record) error {
			if r.Position == failing && failures < 2 {
				failures++
				return errInjected
			}
			return nil
		}))
		if err := s.Apply(t.Context(), s.records); err != nil {
			t.Fatal(err)
		}
		if n := s.count(t); n != 40 || len(s.letters) != 0 {
			t.Errorf("%d facts were counted, dead letters %v", n, s.letters)
		}
	})
	t.Run("a cancelled batch makes no dead letter", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSetup(t, tally(func(r events.Record) error {
			if r.Position == failing {
				cancel()
				return ctx.Err()
			}
			return nil
		}))
		if err := s.Apply(ctx, s.records); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		if n := s.count(t); n != 0 || len(s.letters) != 0 {
			t.Errorf("%d facts were counted, dead letters %v", n, s.letters)
		}
	})
}

func TestReadModel(t *testing.T) {
	t.Run("an invalid name is refused", func(t *testing.T) {
		for _, name := range []string{"", "a-b", "../x", "History"} {
			if _, err := projections.New(projections.Definition{Name: name}, projectiontest.Open, projections.Config{Dir: t.TempDir()}); err == nil {
				t.Errorf("%q was accepted", name)
			}
		}
	})
	t.Run("lag counts the records that are not applied", func(t *testing.T) {
		s := newSetup(t, tally(nil))
		if err := s.Apply(t.Context(), s.records[:25]); err != nil {
			t.Fatal(err)
		}
		if lag, err := s.Lag(t.Context(), s.log); err != nil || lag != 15 {
			t.Errorf("lag is %d, %v", lag, err)
		}
	})
	t.Run("a closed read model returns errors and can be opened again", func(t *testing.T) {
		s := newSetup(t, tally(nil))
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
			t.Errorf("open twice: %v", err)
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
				t.Errorf("open: %v, rebuild reason %q", err, s.RebuildReason())
			}
		}
	})
	t.Run("damage found by Apply is ErrCorrupt, and a rebuild repairs it", func(t *testing.T) {
		s := newSetup(t, tally(nil))
		if err := s.Apply(t.Context(), s.records[:30]); err != nil {
			t.Fatal(err)
		}
		execOnFile(t, s.Path(), `DROP TABLE kinds`)
		if err := s.Apply(t.Context(), s.records[30:]); !errors.Is(err, events.ErrCorrupt) || events.HintOf(err) == "" {
			t.Fatalf("got %v", err)
		}
		if len(s.letters) != 0 {
			t.Errorf("dead letters: %v", s.letters)
		}
		if err := s.Rebuild(t.Context(), s.log); err != nil {
			t.Fatal(err)
		}
		if n := s.count(t); n != 40 {
			t.Errorf("%d facts are applied", n)
		}
	})
	t.Run("a checkpoint moved by another process is detected", func(t *testing.T) {
		s := newSetup(t, tally(nil))
		if err := s.Apply(t.Context(), s.records[:30]); err != nil {
			t.Fatal(err)
		}
		execOnFile(t, s.Path(), `UPDATE checkpoint SET position = 12`)
		if err := s.Apply(t.Context(), s.records[30:]); !errors.Is(err, events.ErrConflict) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a failed rebuild changes nothing", func(t *testing.T) {
		s := newSetup(t, tally(nil))
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
			t.Fatal("the rebuild did not fail")
		}
		after, err := os.ReadDir(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(before) != len(after) {
			t.Errorf("files before: %v, after: %v", before, after)
		}
		if n := s.count(t); n != 40 {
			t.Errorf("%d facts are applied", n)
		}
	})
	t.Run("a running query continues during a rebuild", func(t *testing.T) {
		s := newSetup(t, tally(nil))
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
	t.Run("records applied during a rebuild are kept", func(t *testing.T) {
		s := newSetup(t, tally(nil))
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
			t.Errorf("checkpoint %d, %v", at.Position, err)
		}
	})
	t.Run("a reader that has read the link finds its file for a minute", func(t *testing.T) {
		s := newSetup(t, tally(nil))
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
	t.Run("Open deletes the files of a crashed process", func(t *testing.T) {
		s := newSetup(t, tally(nil))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, base := range []string{"tally-77.db", "tally-77.db-wal", "tally-verify.db", "tally-78.db-shm"} {
			if err := os.WriteFile(filepath.Join(s.dir, base), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		other := filepath.Join(s.dir, "tally-notes.db")
		if err := os.WriteFile(other, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Open(t.Context(), s.log); err != nil {
			t.Fatal(err)
		}
		left, err := filepath.Glob(filepath.Join(s.dir, "tally-7*"))
		if err != nil || len(left) > 0 {
			t.Errorf("remaining: %v, %v", left, err)
		}
		if _, err := os.Stat(other); err != nil {
			t.Errorf("a file of another name was deleted: %v", err)
		}
	})
}

// growingLog calls grow at the end of its first Read.
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

// execOnFile runs a statement on the file without the read model's knowledge.
func execOnFile(t *testing.T, path, statement string) {
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
