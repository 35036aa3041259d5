package projectiontest

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cortex/events"
	"cortex/projections"
)

// Run is the contract of every read model. newProjection gives a fresh value.
func Run(t *testing.T, newProjection func() projections.Projection) {
	RunOn(t, newProjection, Open)
}

// RunOn is [Run] on another kind of store.
func RunOn(t *testing.T, newProjection func() projections.Projection, open projections.OpenStore) {
	s := suite{newProjection, open}
	t.Run("any split, repetition and restart gives the same rows", s.anyBatching)
	t.Run("a rebuild gives the same rows", s.rebuild)
	t.Run("a lawful history leaves no dead letters", s.noDeadLetters)
	t.Run("events of unknown kinds are skipped", s.unknownKinds)
	t.Run("a commit that failed counts nothing, one that was lost counts once", s.failedCommits)
	t.Run("a hole in the log is an alarm", s.hole)
	t.Run("a tampered record is an alarm", s.tampered)
	t.Run("a file that cannot be used is rebuilt", s.damagedFile)
	t.Run("a file is rebuilt by a program", s.otherVersion)
	t.Run("a fresh model is nothing to tell about", s.freshModel)
	t.Run("readers never see an empty or half model during a rebuild", s.concurrentReaders)
	t.Run("verification finds a missing row in every table", s.verification)
}

// checks is how many draws a property gets unless -rapid.checks says otherwise:
// each draw makes databases.
const checks = "25"

// Main runs a read model's tests; call it from TestMain.
func Main(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked {
		if err := flag.Set("rapid.checks", checks); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// TB is what a test and a draw of a property have in common.
type TB interface {
	rapid.TB
	Cleanup(f func())
}

type suite struct {
	projection func() projections.Projection
	open       projections.OpenStore
}

// sampleHistory is a history that is long enough for every kind of fact.
func sampleHistory(n int) []events.Record {
	// A linear congruential generator: the same history on every machine.
	x := uint64(42)
	return Generate(func(n int) int {
		x = x*6364136223846793005 + 1442695040888963407
		return int((x >> 33) % uint64(n))
	}, n)
}

// openModel opens a model in dir on a log.
func (s suite) openModel(t TB, dir string, log events.Log) *projections.ReadModel {
	t.Helper()
	return s.openModelOf(t, s.projection(), dir, log, s.open)
}

func (s suite) openModelOf(t TB, p projections.Projection, dir string, log events.Log, open projections.OpenStore) *projections.ReadModel {
	t.Helper()
	m, err := projections.New(p, open, projections.Config{Dir: dir, Batch: 50})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Open(context.Background(), log); err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return m
}

func (s suite) emptyModel(t TB) *projections.ReadModel {
	return s.openModel(t, tempDir(t), Log(t, nil))
}

// tempDir is a directory of its own for every draw of a property.
func tempDir(t TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "projectiontest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func apply(t TB, m *projections.ReadModel, records []events.Record) {
	t.Helper()
	if err := m.Apply(context.Background(), records); err != nil {
		t.Fatalf("apply: %v", err)
	}
}

// Rows gives every table of a model, each row as text, sorted; the checkpoint's
// time stamp is left out.
func Rows(t TB, m *projections.ReadModel) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	err := m.Read(context.Background(), func(db *sql.DB) error {
		tables, err := column(db, `SELECT name FROM sqlite_schema WHERE type = 'table'`)
		if err != nil {
			return err
		}
		for _, table := range tables {
			columns, err := column(db, `SELECT name FROM pragma_table_info(?) WHERE name <> 'updated_at'`, table)
			if err != nil {
				return err
			}
			rows, err := column(db, fmt.Sprintf(`SELECT quote("%s") FROM "%s"`, strings.Join(columns, `") || '|' || quote("`), table))
			if err != nil {
				return err
			}
			slices.Sort(rows)
			out[table] = rows
		}
		return nil
	})
	if err != nil {
		t.Fatalf("read rows: %v", err)
	}
	return out
}

func column(db *sql.DB, query string, args ...any) ([]string, error) {
	rows, err := db.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, rows.Err()
}

// wantRows fails when the model's rows differ.
func wantRows(t TB, want map[string][]string, m *projections.ReadModel) {
	t.Helper()
	if diff := cmp.Diff(want, Rows(t, m)); diff != "" {
		t.Fatalf("other rows (-want +got):\n%s", diff)
	}
}

// rowsAtOnce gives the rows of a model that got everything in one batch.
func (s suite) rowsAtOnce(t TB, records []events.Record) map[string][]string {
	t.Helper()
	m := s.emptyModel(t)
	apply(t, m, records)
	return Rows(t, m)
}

func (s suite) anyBatching(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		records := History(rt, rapid.IntRange(2, 60).Draw(rt, "facts"))
		want := s.rowsAtOnce(rt, records)
		dir, log := tempDir(rt), Log(rt, records)
		m := s.openModel(rt, dir, Log(rt, nil))
		for done := 0; done < len(records); {
			from := rapid.IntRange(0, done).Draw(rt, "from") // again what is in already
			to := rapid.IntRange(done+1, len(records)).Draw(rt, "to")
			apply(rt, m, records[from:to])
			done = to
			if rapid.IntRange(0, 4).Draw(rt, "restart") == 0 {
				m = s.openModel(rt, dir, log) // the old one is not closed: it died
				if why := m.RebuildReason(); why != "" {
					rt.Fatalf("a restart rebuilt the model: %s", why)
				}
			}
		}
		apply(rt, m, records)
		wantRows(rt, want, m)
	})
}

func (s suite) rebuild(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		records := History(rt, rapid.IntRange(2, 60).Draw(rt, "facts"))
		log := Log(rt, records)
		m := s.emptyModel(rt)
		apply(rt, m, records)
		want := Rows(rt, m)
		if err := m.Rebuild(context.Background(), log); err != nil {
			rt.Fatalf("rebuild: %v", err)
		}
		wantRows(rt, want, m)
		diff, err := m.VerifyAgainst(context.Background(), log)
		if err != nil || !diff.Empty() {
			rt.Fatalf("verification: %v, %v", diff, err)
		}
		if total := len(slices.Concat(slices.Collect(mapValues(want))...)); diff.Rows != total {
			rt.Fatalf("verification compared %d of %d rows", diff.Rows, total)
		}
	})
}

func mapValues(m map[string][]string) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

func (s suite) noDeadLetters(t *testing.T) {
	m := s.emptyModel(t)
	apply(t, m, sampleHistory(2000))
	letters, err := m.DeadLetters(t.Context())
	if err != nil || len(letters) > 0 {
		t.Fatalf("dead letters: %v, %v", letters, err)
	}
}
