package stress_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cortex/cmd/ids"
	"cortex/cmd/readmodels"
	"cortex/consumers/recorder"
	"cortex/embedded/natslog"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections"
)

// benchEvents is the number of replayed events; CORTEX_BENCH_EVENTS overrides it.
const benchEvents = 20_000

// BenchmarkRebuild measures rebuilds of each read model and of all together from a log on
// disk. For comparison it measures reading the log, and writing the finished rows into an
// empty file with 500 rows in a transaction.
func BenchmarkRebuild(b *testing.B) {
	n := benchEvents
	if s := os.Getenv("CORTEX_BENCH_EVENTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	log := replayed(b, n)
	b.Run("consume", func(b *testing.B) {
		for b.Loop() {
			read := 0
			for _, err := range log.Read(b.Context(), events.Query{}) {
				if err != nil {
					b.Fatal(err)
				}
				read++
			}
			if read < n {
				b.Fatal(read)
			}
		}
		perSecond(b, n, "events/s")
	})
	var models []*projections.ReadModel
	finished := map[string][]table{}
	rows := 0
	for _, p := range readmodels.Definitions() {
		m := model(b, p, log)
		models, finished[p.Name] = append(models, m), contents(b, m.Path())
		for _, t := range finished[p.Name] {
			rows += len(t.rows)
		}
		b.Run("model="+p.Name, func(b *testing.B) { rebuild(b, n, log, m) })
	}
	b.Run("model=all", func(b *testing.B) { rebuild(b, n, log, models...) })
	b.Run("rows-of-all", func(b *testing.B) {
		for b.Loop() {
			dir := b.TempDir()
			all := readmodels.Definitions()
			if err := runConcurrently(len(all), func(i int) error {
				p := all[i]
				return insertRows(b.Context(), filepath.Join(dir, p.Name), p.Schema, finished[p.Name])
			}); err != nil {
				b.Fatal(err)
			}
		}
		perSecond(b, n, "events/s")
		perSecond(b, rows, "rows/s")
	})
}

func perSecond(b *testing.B, n int, unit string) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), unit)
}

// replayed returns a log on disk. It is written to a memory file system, if there is one,
// where a sync is cheap, and then copied.
func replayed(b *testing.B, n int) events.Log {
	b.Helper()
	scratch, err := os.MkdirTemp("/dev/shm", "cortex-bench")
	if err != nil {
		scratch = b.TempDir()
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	write(b, scratch, n)
	dir := filepath.Join(b.TempDir(), "state")
	if err := os.CopyFS(dir, os.DirFS(scratch)); err != nil {
		b.Fatal(err)
	}
	br, err := natslog.Open(b.Context(), natslog.Config{Dir: dir})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := br.Close(); err != nil {
			b.Error(err)
		}
	})
	return br.Log()
}

// write creates a log of n events: installations, and a model's answer after every tenth.
func write(b *testing.B, dir string, n int) {
	b.Helper()
	br, err := natslog.Open(b.Context(), natslog.Config{Dir: dir, Create: true})
	if err != nil {
		b.Fatal(err)
	}
	s := &recorder.Recorder{Log: br.Log(), Now: time.Now, NewID: ids.New, Actor: events.Actor{User: "root", Program: "cortex"}}
	for written, i := 1, 1; written < n; i++ {
		t := &events.Transaction{ID: events.TransactionID(ids.New())}
		for _, f := range installation(i) {
			if _, err := s.AppendToTransaction(b.Context(), recorder.Cause{}, t, f); err != nil {
				b.Fatal(err)
			}
			written++
		}
		if i%10 > 0 {
			continue
		}
		if _, err := s.Append(b.Context(), recorder.Cause{}, events.LogSubject(br.Host()), &events.LLMCompleted{
			Task: events.TaskInstall, Provider: "local", Model: "m", Question: "q", Answer: strings.Repeat("answer ", 20),
			Scope: "here", ExactKey: fmt.Sprintf("exact%d", i), CanonicalKey: fmt.Sprintf("canon%d", i),
			Attempts: []events.LLMAttempt{{Provider: "local", Model: "m", PriceKnown: true, LatencyMs: 900}},
		}, events.NoExpectation); err != nil {
			b.Fatal(err)
		}
		written++
	}
	if err := br.Close(); err != nil {
		b.Fatal(err)
	}
}

// installation returns all facts of the installation of one package.
func installation(number int) []events.Fact {
	name := events.PackageName(fmt.Sprintf("package-%d", number%200))
	key := events.PackageKey{Name: name, Arch: "amd64"}
	plan := events.Plan{
		Changes: []events.PlannedChange{{PackageKey: key, Action: events.ActionInstall, To: "1.0"}},
		Steps:   []events.Step{{Op: events.OpInstall, Targets: []events.Target{{PackageRef: events.PackageRef{Name: name}}}}},
	}
	change := events.PackageChange{PackageKey: key, After: events.State{Version: "1.0", Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled}}
	return []events.Fact{
		&events.Requested{Number: number, Intent: events.Intent{Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: name}}, CommandLine: "cortex install " + string(name)}},
		&events.Planned{PlanID: plan.ID(), Plan: plan},
		&events.Approved{PlanID: plan.ID(), How: "yes-flag"},
		&events.Started{PlanID: plan.ID()},
		&events.StepStarted{Op: events.OpInstall, Argv: []string{"apt-get", "install", "--", string(name)}},
		&events.StepSucceeded{Output: "done\n", DurationMs: 300},
		&events.Succeeded{Changes: []events.PackageChange{change}},
	}
}

// model opens the read model of a projection and applies the whole log.
func model(b *testing.B, p projections.Definition, log events.Log) *projections.ReadModel {
	b.Helper()
	m, err := projections.New(p, openStore, projections.Config{Dir: filepath.Join(b.TempDir(), "read"), OnDeadLetter: func(d projections.DeadLetter) { b.Error(d) }})
	if err == nil {
		err = m.Open(b.Context(), log)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := m.Close(); err != nil {
			b.Error(err)
		}
	})
	return m
}

func openStore(ctx context.Context, path string) (projections.Store, error) {
	return sqlite.Open(ctx, sqlite.Config{Path: path})
}

func rebuild(b *testing.B, n int, log events.Log, models ...*projections.ReadModel) {
	b.Helper()
	for b.Loop() {
		if err := projections.RebuildAll(b.Context(), log, models...); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b, n, "events/s")
}

// table has all rows of a table.
type table struct {
	name string
	rows [][]any
}

// contents reads the projection's own tables.
func contents(b *testing.B, path string) (out []table) {
	b.Helper()
	db, err := sqlite.OpenReader(b.Context(), path, 1)
	if err != nil {
		b.Fatal(err)
	}
	names := query(b, db, `SELECT name FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL AND name NOT IN ('checkpoint', 'dead_letter') AND name NOT LIKE 'sqlite_%'`)
	for _, row := range names {
		name := row[0].(string)
		out = append(out, table{name, query(b, db, `SELECT * FROM "`+name+`"`)})
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	return out
}

func query(b *testing.B, db *sql.DB, q string) (out [][]any) {
	b.Helper()
	rows, err := db.QueryContext(b.Context(), q)
	if err != nil {
		b.Fatal(err)
	}
	columns, err := rows.Columns()
	for err == nil && rows.Next() {
		row, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		err = rows.Scan(into...)
		out = append(out, row)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		b.Fatal(err)
	}
	return out
}

// insertRows writes tables into an empty file, 500 rows in a transaction.
func insertRows(ctx context.Context, path, schema string, tables []table) error {
	s, err := openStore(ctx, path)
	if err != nil {
		return err
	}
	err = s.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, schema)
		return err
	})
	for _, t := range tables {
		for batch := range slices.Chunk(t.rows, projections.DefaultBatch) {
			err = errors.Join(err, s.Write(ctx, func(tx *sql.Tx) error { return insertBatch(ctx, tx, t.name, batch) }))
		}
	}
	return errors.Join(err, s.Close())
}

func insertBatch(ctx context.Context, tx *sql.Tx, table string, rows [][]any) error {
	insert, err := tx.PrepareContext(ctx, `INSERT INTO "`+table+`" VALUES (?`+strings.Repeat(", ?", len(rows[0])-1)+`)`)
	for _, row := range rows {
		if err == nil {
			_, err = insert.ExecContext(ctx, row...)
		}
	}
	return err
}
