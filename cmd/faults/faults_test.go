package faults_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/cmd/ids"
	"cortex/consumers/recorder"
	"cortex/embedded/natslog"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections"
	"cortex/projections/history"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		os.Exit(runWriter(dir))
	}
	goleak.VerifyTestMain(m)
}

// longForm reports whether 'make crash' runs the tests.
func longForm() bool { return os.Getenv("CORTEX_CRASH") == "long" }

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// openLog opens the log in dir, and creates it the first time.
func openLog(tb testing.TB, dir string, now func() time.Time) *natslog.Broker {
	tb.Helper()
	b, err := natslog.Open(context.Background(), natslog.Config{Dir: dir, Create: true, Now: now, NewID: ids.New})
	check(tb, err)
	tb.Cleanup(func() { check(tb, b.Close()) })
	return b
}

// request appends the fact that opens transaction n.
func request(l events.Log, now func() time.Time, n int, commandLine string) (events.Record, error) {
	s := recorder.Recorder{Log: l, Now: now, NewID: ids.New, Actor: events.Actor{User: "root", Program: "cortex"}}
	t := &events.Transaction{ID: events.TransactionID(ids.New())}
	return s.AppendToTransaction(context.Background(), recorder.Cause{}, t, &events.Requested{Number: n, Intent: events.Intent{
		Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: events.PackageName(fmt.Sprintf("package-%d", n%50))}}, CommandLine: commandLine,
	}})
}

// openModel opens the history read model in dir.
func openModel(tb testing.TB, dir string, l events.Log) *projections.ReadModel {
	tb.Helper()
	open := func(ctx context.Context, path string) (projections.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path, PoolSize: 1})
	}
	m, err := projections.New(history.Definition(), open, projections.Config{Dir: dir, Now: time.Now, OnDeadLetter: func(d projections.DeadLetter) { tb.Error(d) }})
	check(tb, err)
	check(tb, m.Open(tb.Context(), l))
	return m
}

// follow applies the facts up to the log's head, one at a time.
func follow(tb testing.TB, m *projections.ReadModel, l events.Log) {
	tb.Helper()
	at, err := m.Checkpoint(tb.Context())
	check(tb, err)
	for r, err := range l.Read(tb.Context(), events.Query{After: at.Position}) {
		check(tb, err)
		check(tb, m.Apply(tb.Context(), []events.Record{r}))
	}
}

// crashCopy copies a directory in the state in which a crash would leave it.
func crashCopy(tb testing.TB, dir string) string {
	tb.Helper()
	to := filepath.Join(tb.TempDir(), "copy")
	check(tb, os.CopyFS(to, os.DirFS(dir)))
	return to
}
