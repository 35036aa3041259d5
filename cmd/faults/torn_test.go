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

// journal is SQLite's log of what is not in the file yet.
const journal = "history-1.db-wal"

// A frame is a header and a page (sqlite.org/fileformat2.html#walformat).
const (
	journalHeader = 32
	frame         = 24 + 4096
)

// crashed gives a log and the directory of a read model of it that was cut off: the
// newest facts are in SQLite's log only.
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
	left := image(t, dir)
	check(t, m.Close())
	if info, err := os.Stat(filepath.Join(left, journal)); err != nil || info.Size() < 100*frame {
		t.Fatalf("the test proves little: %v, %v", info, err)
	}
	return l, left
}

// good wants a model that was opened on a damaged directory to go on, to say what
// the log says, and to say so to readers as well.
func good(t *testing.T, what, dir string, l events.Log) {
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

// offsets are where a file of this size is cut: around the last frames at every
// byte of their headers, and elsewhere here and there.
func offsets(size int) []int {
	step, frames := 64*1021, 2
	if long() {
		step, frames = 2*1021, 12
	}
	var list []int
	for n := 0; n < size; n += step {
		list = append(list, n)
	}
	for f := range frames {
		begin := journalHeader + ((size-journalHeader)/frame-1-f)*frame
		for _, n := range []int{0, 1, 4, 8, 16, 23, 24, 25, 2000, frame - 1} {
			list = append(list, begin+n)
		}
	}
	return append(list, 1, journalHeader-1, journalHeader, size-1)
}

func TestATornLogOfSQLiteGoesOnOrIsBuiltAnew(t *testing.T) {
	l, left := crashed(t)
	whole, err := os.ReadFile(filepath.Join(left, journal))
	check(t, err)
	chance := rand.New(rand.NewPCG(7, 23))
	for _, n := range offsets(len(whole)) {
		tail := make([]byte, len(whole)-n)
		kinds := map[string][]byte{"cut": nil, "zeros": tail, "garbage": bytes.Clone(tail)}
		for i := range kinds["garbage"] {
			kinds["garbage"][i] = byte(chance.Uint32())
		}
		for kind, tail := range kinds {
			if kind != "cut" && !long() && n%7 > 0 {
				continue
			}
			dir := image(t, left)
			check(t, os.WriteFile(filepath.Join(dir, journal), append(bytes.Clone(whole[:n]), tail...), 0o644))
			check(t, os.Remove(filepath.Join(dir, "history-1.db-shm")))
			good(t, fmt.Sprintf("%s from byte %d of %d", kind, n, len(whole)), dir, l)
			check(t, os.RemoveAll(dir))
		}
	}
}

func TestFilesOfAReadModelThatAreMissingOrOfAnotherVersion(t *testing.T) {
	l, left := crashed(t)
	exec := func(words string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			db, err := sql.Open("sqlite", filepath.Join(dir, "history-1.db"))
			check(t, err)
			defer func() { check(t, db.Close()) }()
			_, err = db.Exec(words)
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
		"no shared index":          remove("history-1.db-shm"),
		"no log of SQLite":         remove(journal),
		"neither":                  remove(journal, "history-1.db-shm"),
		"no file":                  remove("history-1.db"),
		"no link":                  remove("history.db"),
		"a newer schema":           exec("PRAGMA user_version = 99; UPDATE checkpoint SET version = 99"),
		"an older schema":          exec("PRAGMA user_version = 0; UPDATE checkpoint SET version = 0"),
		"a table too few":          exec("DROP TABLE checkpoint"),
		"a checkpoint too far":     exec("UPDATE checkpoint SET position = 100000"),
		"another log's checkpoint": exec("UPDATE checkpoint SET hash = replace(hash, substr(hash, 1, 1), '0')"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := image(t, left)
			damage(t, dir)
			good(t, name, dir, l)
		})
	}
}
