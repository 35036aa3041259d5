package faults_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"cortex/embedded/sqlite"
	"cortex/events"
)

// wal is SQLite's write-ahead log.
const wal = "history-1.db-wal"

// A frame is a header and a page (sqlite.org/fileformat2.html#walformat).
const (
	walHeader = 32
	frame     = 24 + 4096
)

// crashed returns a log and the directory of its read model after a crash: the newest facts
// are only in SQLite's write-ahead log.
func crashed(t *testing.T) (events.Log, string) {
	t.Helper()
	l := openLog(t, t.TempDir(), time.Now).Log()
	dir := t.TempDir()
	m := openModel(t, dir, l)
	for n := range 30 {
		_, err := request(l, time.Now, n+1, "cortex install")
		check(t, err)
	}
	follow(t, m, l)
	left := crashCopy(t, dir)
	check(t, m.Close())
	if info, err := os.Stat(filepath.Join(left, wal)); err != nil || info.Size() < 100*frame {
		t.Fatalf("the write-ahead log is too small for the test: %v, %v", info, err)
	}
	return l, left
}

// requireRecovery checks that a model with damaged files opens, follows the log, equals a
// rebuild, and is readable.
func requireRecovery(t *testing.T, what, dir string, l events.Log) {
	t.Helper()
	m := openModel(t, dir, l)
	defer func() { check(t, m.Close()) }()
	follow(t, m, l)
	diff, err := m.VerifyAgainst(t.Context(), l)
	if err != nil || !diff.Empty() {
		t.Errorf("%s: %v, %v", what, diff, err)
	}
	db, err := sqlite.OpenReader(t.Context(), m.Path(), 1)
	check(t, err)
	defer func() { check(t, db.Close()) }()
	check(t, db.QueryRow("SELECT 1 FROM checkpoint").Scan(new(int)))
}

// offsets returns the offsets at which the tests damage a file of this size: some over the
// whole file, and more around the last frames.
func offsets(size int) []int {
	step, frames := 64*1021, 2
	if longForm() {
		step, frames = 2*1021, 12
	}
	var list []int
	for n := 0; n < size; n += step {
		list = append(list, n)
	}
	for f := range frames {
		begin := walHeader + ((size-walHeader)/frame-1-f)*frame
		for _, n := range []int{0, 1, 4, 8, 16, 23, 24, 25, 2000, frame - 1} {
			list = append(list, begin+n)
		}
	}
	return append(list, 1, walHeader-1, walHeader, size-1)
}

func TestReadModelTornWALRecovers(t *testing.T) {
	l, left := crashed(t)
	whole, err := os.ReadFile(filepath.Join(left, wal))
	check(t, err)
	random := rand.New(rand.NewPCG(7, 23))
	for _, n := range offsets(len(whole)) {
		tail := make([]byte, len(whole)-n)
		kinds := map[string][]byte{"cut": nil, "zeros": tail, "garbage": bytes.Clone(tail)}
		for i := range kinds["garbage"] {
			kinds["garbage"][i] = byte(random.Uint32())
		}
		for kind, tail := range kinds {
			if kind != "cut" && !longForm() && n%7 > 0 {
				continue
			}
			dir := crashCopy(t, left)
			check(t, os.WriteFile(filepath.Join(dir, wal), append(bytes.Clone(whole[:n]), tail...), 0o644))
			check(t, os.Remove(filepath.Join(dir, "history-1.db-shm")))
			requireRecovery(t, fmt.Sprintf("%s from byte %d of %d", kind, n, len(whole)), dir, l)
			check(t, os.RemoveAll(dir))
		}
	}
}

func TestReadModelMissingOrForeignFilesRecover(t *testing.T) {
	l, left := crashed(t)
	exec := func(statements string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			db, err := sql.Open("sqlite", filepath.Join(dir, "history-1.db"))
			check(t, err)
			defer func() { check(t, db.Close()) }()
			_, err = db.Exec(statements)
			check(t, err)
		}
	}
	remove := func(names ...string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			for _, name := range names {
				check(t, os.Remove(filepath.Join(dir, name)))
			}
		}
	}
	for name, damage := range map[string]func(*testing.T, string){
		"no shared index":             remove("history-1.db-shm"),
		"no write-ahead log":          remove(wal),
		"neither":                     remove(wal, "history-1.db-shm"),
		"no file":                     remove("history-1.db"),
		"no link":                     remove("history.db"),
		"a newer schema":              exec("PRAGMA user_version = 99; UPDATE checkpoint SET version = 99"),
		"an older schema":             exec("PRAGMA user_version = 0; UPDATE checkpoint SET version = 0"),
		"a missing table":             exec("DROP TABLE checkpoint"),
		"a checkpoint after the head": exec("UPDATE checkpoint SET position = 100000"),
		"another log's checkpoint":    exec("UPDATE checkpoint SET hash = replace(hash, substr(hash, 1, 1), '0')"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := crashCopy(t, left)
			damage(t, dir)
			requireRecovery(t, name, dir, l)
		})
	}
}
