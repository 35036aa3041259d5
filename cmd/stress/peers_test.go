//go:build peers

package stress_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite"
)

// peers store a record of the size of an event without its envelope. The benchmark of
// Watermill's standard adapter is in the module in the directory watermill.
var peers = []contender{
	{"until=durable/by=jetstream", rawJetStream},
	{"until=visible/by=sqlite", oneTable},
	{"until=visible/by=python", func(b *testing.B, publishers int) { connectionPerCall(b, publishers, "5") }},
	{"until=visible/by=python-nowait", func(b *testing.B, publishers int) { connectionPerCall(b, publishers, "0") }},
}

// record has about the size of a request for a package as JSON.
var record = []byte(`{"number":1,"intent":"` + strings.Repeat("x", 180) + `"}`)

// rawJetStream only publishes to a stream of a server in this process that syncs each
// message.
func rawJetStream(b *testing.B, publishers int) {
	srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: b.TempDir(), SyncAlways: true})
	if err != nil {
		b.Fatal(err)
	}
	srv.Start()
	b.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		b.Fatal("the server did not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "RECORDS", Subjects: []string{"records.>"}, Storage: jetstream.FileStorage}); err != nil {
		b.Fatal(err)
	}
	flood(b, publishers, func(ctx context.Context) error {
		_, err := js.Publish(ctx, "records.one", record)
		return err
	})
}

// oneTable inserts into an SQLite table: one connection, WAL, and a synced transaction for
// each record. A committed record is visible.
func oneTable(b *testing.B, publishers int) {
	path := filepath.Join(b.TempDir(), "records.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(b.Context(), `CREATE TABLE records (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, data BLOB NOT NULL)`); err != nil {
		b.Fatal(err)
	}
	flood(b, publishers, func(ctx context.Context) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // no effect after a commit
		if _, err := tx.ExecContext(ctx, `INSERT INTO records (at, data) VALUES (?, ?)`, time.Now().UnixNano(), record); err != nil {
			return err
		}
		return tx.Commit()
	})
}

// connectionPerCall runs Python threads that open a connection for each record, and reports
// the number of lost records. wait is the lock timeout of a connection in seconds; Python's
// default is 5.
func connectionPerCall(b *testing.B, publishers int, wait string) {
	var got struct {
		Seconds float64   `json:"seconds"`
		Ms      []float64 `json:"ms"`
		Kept    int       `json:"kept"`
	}
	python(b, &got, "publish.py", filepath.Join(b.TempDir(), "records.db"), fmt.Sprint(publishers), fmt.Sprint(b.N), wait)
	if len(got.Ms) == 0 {
		b.Fatal("no record was stored")
	}
	took := make([]time.Duration, len(got.Ms))
	for i, ms := range got.Ms {
		took[i] = time.Duration(ms * float64(time.Millisecond))
	}
	report(b, took, time.Duration(got.Seconds*float64(time.Second)))
	b.ReportMetric(float64(b.N-got.Kept), "lost")
	b.ReportMetric(got.Seconds*1e9/float64(b.N), "ns/op") // excludes the start of Python
}

var lookups = []lookupBenchmark{{"python", connectionPerLookup}}

func connectionPerLookup(b *testing.B, entries int, hit bool) {
	what := "miss"
	if hit {
		what = "hit"
	}
	times := max(b.N, 5) // the first lookup is slower
	var got struct {
		Seconds float64 `json:"seconds"`
	}
	python(b, &got, "lookup.py", filepath.Join(b.TempDir(), "answers.db"), fmt.Sprint(entries), fmt.Sprint(times), what)
	b.ReportMetric(got.Seconds*1e9/float64(times), "ns/op") // excludes the start of Python and the creation of the entries
}

// python runs a script in testdata and parses its output.
func python(b *testing.B, into any, script string, args ...string) {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "python3", append([]string{filepath.Join("testdata", script)}, args...)...).Output()
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		b.Fatalf("%s: %v: %s", script, err, out)
	}
}
