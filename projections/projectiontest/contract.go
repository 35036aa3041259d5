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

// Run tests the contract of every read model.
func Run(t *testing.T, d projections.Definition) {
	RunOn(t, d, Open)
}

// RunOn is [Run] with another store.
func RunOn(t *testing.T, d projections.Definition, open projections.OpenStore) {
	s := suite{d, open}
	t.Run("batches, repetition and restart do not change the rows", s.anyBatching)
	t.Run("a rebuild does not change the rows", s.rebuild)
	t.Run("a valid history leaves no dead letters", s.noDeadLetters)
	t.Run("unknown kinds are skipped", s.unknownKinds)
	t.Run("a failed commit and a repeated one apply a batch once", s.failedCommits)
	t.Run("a missing record is detected", s.hole)
	t.Run("a changed record is detected", s.tampered)
	t.Run("an unusable file is rebuilt", s.damagedFile)
	t.Run("a file of another definition is rebuilt", s.otherVersion)
	t.Run("comments in the schema do not rebuild a file", s.commentedSchema)
	t.Run("a new file has no rebuild reason", s.freshModel)
	t.Run("queries see complete rows during a rebuild", s.concurrentReaders)
	t.Run("verification finds a missing row in every table", s.verification)
}

// checks is the number of draws of a property unless -rapid.checks is set. Each draw
// creates databases.
const checks = "25"

// Main runs the tests of a read model. Call it from TestMain.
func Main(m *testing.M) {
	flag.Parse()
	isSet := false
	flag.Visit(func(f *flag.Flag) { isSet = isSet || f.Name == "rapid.checks" })
	if !isSet {
		if err := flag.Set("rapid.checks", checks); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}

// TB is the common interface of a test and a draw of a property.
type TB interface {
	rapid.TB
	Cleanup(f func())
}

type suite struct {
	definition projections.Definition
	open       projections.OpenStore
}

// sampleHistory returns the same history of n facts on every machine.
func sampleHistory(n int) []events.Record {
	// a linear congruential generator
	x := uint64(42)
	return Generate(func(n int) int {
		x = x*6364136223846793005 + 1442695040888963407
		return int((x >> 33) % uint64(n))
	}, n)
}

// openModel opens a read model of a log in dir.
func (s suite) openModel(t TB, dir string, log events.Log) *projections.ReadModel {
	t.Helper()
	return s.openModelOf(t, s.definition, dir, log, s.open)
}

func (s suite) openModelOf(t TB, d projections.Definition, dir string, log events.Log, open projections.OpenStore) *projections.ReadModel {
	t.Helper()
	m, err := projections.New(d, open, projections.Config{Dir: dir, Batch: 50})
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

// tempDir creates a directory for one draw of a property.
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

// Rows returns the rows of every table as sorted text, without the time stamp of the
// checkpoint.
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

// wantRows fails the test if the rows differ.
func wantRows(t TB, want map[string][]string, m *projections.ReadModel) {
	t.Helper()
	if diff := cmp.Diff(want, Rows(t, m)); diff != "" {
		t.Fatalf("rows (-want +got):\n%s", diff)
	}
}

// rowsAtOnce returns the rows after all records were applied in one batch.
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
			from := rapid.IntRange(0, done).Draw(rt, "from") // records before done are applied again
			to := rapid.IntRange(done+1, len(records)).Draw(rt, "to")
			apply(rt, m, records[from:to])
			done = to
			if rapid.IntRange(0, 4).Draw(rt, "restart") == 0 {
				m = s.openModel(rt, dir, log) // without Close, as after a crash
				if why := m.RebuildReason(); why != "" {
					rt.Fatalf("a restart rebuilt the file: %s", why)
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
