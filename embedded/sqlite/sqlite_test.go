package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"cortex/embedded/sqlite"
	"cortex/events"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		os.Exit(runChild(path))
	}
	goleak.VerifyTestMain(m)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open opens a store. The end of the test closes it.
func open(t testing.TB, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), sqlite.Config{Path: path})
	check(t, err)
	t.Cleanup(func() { check(t, s.Close()) })
	return s
}

// run executes statements in a transaction.
func run(t testing.TB, s *sqlite.Store, statements ...string) {
	t.Helper()
	check(t, s.Write(t.Context(), func(tx *sql.Tx) error {
		for _, q := range statements {
			if _, err := tx.Exec(q); err != nil {
				return err
			}
		}
		return nil
	}))
}

func count(t testing.TB, db *sql.DB) int {
	t.Helper()
	n, err := counted(db)
	check(t, err)
	return n
}

func counted(db *sql.DB) (n int, err error) {
	err = db.QueryRow("SELECT count(*) FROM t").Scan(&n)
	return n, err
}

func TestFiftyReadersAndOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "dir", "reads.db")
	s := open(t, path)
	run(t, s, "CREATE TABLE t(a, b)")
	var done atomic.Bool
	var readers, writers sync.WaitGroup
	for i := range 50 {
		readers.Go(func() {
			db := s.Reader()
			if i%2 == 1 {
				var err error
				if db, err = sqlite.OpenReader(t.Context(), path, 1); err != nil {
					t.Error(err)
					return
				}
				defer func() { check(t, db.Close()) }()
			}
			for last := 0; ; {
				over := done.Load()
				n, err := counted(db)
				if err != nil {
					t.Error(err)
					return
				}
				if n < last || n%2 != 0 {
					t.Errorf("saw %d rows after %d: half a transaction", n, last)
					return
				}
				if last = n; over {
					if n != 2*200 {
						t.Errorf("saw %d rows in the end", n)
					}
					return
				}
			}
		})
	}
	for range 8 {
		writers.Go(func() {
			for range 25 {
				if err := s.Write(t.Context(), func(tx *sql.Tx) error {
					_, err := tx.Exec("INSERT INTO t VALUES(1, 2)")
					_, err2 := tx.Exec("INSERT INTO t VALUES(3, 4)")
					return errors.Join(err, err2)
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
}

func TestWriteIsAtomic(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "reads.db"))
	run(t, s, "CREATE TABLE t(a)")
	insert := func(tx *sql.Tx) {
		_, err := tx.Exec("INSERT INTO t VALUES(1)")
		check(t, err)
	}
	t.Run("an error rolls back and is returned unchanged", func(t *testing.T) {
		mine := errors.New("mine")
		if err := s.Write(context.Background(), func(tx *sql.Tx) error { insert(tx); return mine }); !errors.Is(err, mine) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a panic rolls back and continues", func(t *testing.T) {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = s.Write(context.Background(), func(tx *sql.Tx) error { insert(tx); panic("oh") })
	})
	t.Run("a done context rolls back", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Write(ctx, func(tx *sql.Tx) error { insert(tx); cancel(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
	t.Run("waiting for the writer ends with the context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		check(t, s.Write(t.Context(), func(*sql.Tx) error {
			cancel()
			if err := s.Write(ctx, func(*sql.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			return nil
		}))
	})
	if n := count(t, s.Reader()); n != 0 {
		t.Errorf("%d rows stayed", n)
	}
	run(t, s, "INSERT INTO t VALUES(1)")
	if n := count(t, s.Reader()); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestWriteRunsOneTransactionAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reads.db")
	first, second := open(t, path), open(t, path) // two stores, like two processes
	run(t, first, "CREATE TABLE t(a)", "INSERT INTO t VALUES(0)")
	var running [2]atomic.Int32
	var wg sync.WaitGroup
	for i, s := range []*sqlite.Store{first, second} {
		for range 20 {
			wg.Go(func() {
				check(t, s.Write(t.Context(), func(tx *sql.Tx) error {
					if n := running[i].Add(1); n != 1 {
						t.Errorf("%d write at once", n)
					}
					defer running[i].Add(-1)
					var a int
					if err := tx.QueryRow("SELECT a FROM t").Scan(&a); err != nil {
						return err
					}
					_, err := tx.Exec("UPDATE t SET a = ?", a+1)
					return err
				}))
			})
		}
	}
	wg.Wait()
	var a int
	check(t, first.Reader().QueryRow("SELECT a FROM t").Scan(&a))
	if a != 40 {
		t.Errorf("%d updates stayed of 40", a)
	}
}

func TestReaderCannotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reads.db")
	s := open(t, path)
	run(t, s, "CREATE TABLE t(a)")
	outside, err := sqlite.OpenReader(t.Context(), path, 1)
	check(t, err)
	defer func() { check(t, outside.Close()) }()
	for _, db := range []*sql.DB{s.Reader(), outside} {
		if _, err := db.Exec("INSERT INTO t VALUES(1)"); err == nil {
			t.Error("a reader wrote")
		}
	}
	if n := count(t, s.Reader()); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestOpenReaderCreatesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reads.db")
	if _, err := sqlite.OpenReader(t.Context(), path, 1); events.KindOf(err) != events.ErrNotFound {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("it was created")
	}
}

func TestWriteSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "reads.db"))
	run(t, s, "CREATE TABLE t(a)", "INSERT INTO t VALUES(1)")
	to := filepath.Join(t.TempDir(), "image") // the state after kill -9
	check(t, os.CopyFS(to, os.DirFS(dir)))
	if n := count(t, open(t, filepath.Join(to, "reads.db")).Reader()); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestOpenCreatesFileReadableByAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "reads.db")
	s := open(t, path)
	run(t, s, "CREATE TABLE t(a)")
	for name, want := range map[string]os.FileMode{path: 0o644, path + "-wal": 0o644, path + "-shm": 0o644, filepath.Dir(path): 0o755 | os.ModeDir} {
		info, err := os.Stat(name)
		check(t, err)
		if info.Mode() != want {
			t.Errorf("%s has mode %s", name, info.Mode())
		}
	}
}

func TestOpenAcceptsOddPaths(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a b.db", "100%41.db", "what?mode=memory", "#1.db", "ü&=+.db"} {
		path := filepath.Join(dir, name)
		run(t, open(t, path), "CREATE TABLE t(a)")
		db, err := sqlite.OpenReader(t.Context(), path, 1)
		check(t, err)
		if n := count(t, db); n != 0 {
			t.Errorf("%s has %d rows", name, n)
		}
		check(t, db.Close())
	}
	link := filepath.Join(dir, "current.db")
	check(t, os.Symlink("a b.db", link))
	run(t, open(t, link), "INSERT INTO t VALUES(1)")
	db, err := sqlite.OpenReader(t.Context(), link, 1)
	check(t, err)
	defer func() { check(t, db.Close()) }()
	if n := count(t, db); n != 1 {
		t.Errorf("through the link: %d rows", n)
	}
	left, err := filepath.Glob(link + "-*")
	check(t, err)
	if len(left) > 0 {
		t.Errorf("files next to the link: %v", left)
	}
}

func TestOpenRecognizesDamagedFile(t *testing.T) {
	sound := filepath.Join(t.TempDir(), "reads.db")
	s, err := sqlite.Open(t.Context(), sqlite.Config{Path: sound})
	check(t, err)
	run(t, s, "CREATE TABLE t(a)", "INSERT INTO t SELECT value FROM json_each('["+strings.Repeat("\"some text to fill pages\",", 5000)+"1]')")
	check(t, s.Close())
	whole, err := os.ReadFile(sound)
	check(t, err)
	for name, content := range map[string][]byte{
		"garbage":            []byte(strings.Repeat("garbage ", 1000)),
		"short garbage":      []byte("no"),
		"cut off":            whole[:len(whole)/2+100],
		"cut in its header":  whole[:60],
		"overwritten inside": append(append(append([]byte{}, whole[:4096]...), make([]byte, 40000)...), whole[44096:]...),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "reads.db")
			check(t, os.WriteFile(path, content, 0o600))
			s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
			if err == nil {
				_, err = counted(s.Reader())
				check(t, s.Close())
			} else if events.KindOf(err) != events.ErrCorrupt {
				t.Errorf("its kind is %s", events.KindOf(err))
			}
			if !sqlite.IsCorrupt(err) {
				t.Errorf("opened to write: %v", err)
			}
			db, err := sqlite.OpenReader(t.Context(), path, 1)
			check(t, err)
			defer func() { check(t, db.Close()) }()
			if _, err := counted(db); !sqlite.IsCorrupt(err) {
				t.Errorf("opened to read: %v", err)
			}
		})
	}
	for _, err := range []error{nil, errors.New("x"), os.ErrNotExist, context.Canceled, sql.ErrNoRows} {
		if sqlite.IsCorrupt(err) {
			t.Errorf("%v is taken for damage", err)
		}
	}
	_, err = open(t, sound).Reader().Exec("SELECT * FROM missing")
	if err == nil || sqlite.IsCorrupt(err) {
		t.Errorf("%v is taken for damage", err)
	}
}

func BenchmarkOpenReader(b *testing.B) {
	path := filepath.Join(b.TempDir(), "reads.db")
	s, err := sqlite.Open(b.Context(), sqlite.Config{Path: path})
	check(b, err)
	run(b, s, "CREATE TABLE t(a)", "INSERT INTO t VALUES(1)")
	check(b, s.Close())
	for b.Loop() {
		db, err := sqlite.OpenReader(b.Context(), path, 1)
		check(b, err)
		if n := count(b, db); n != 1 {
			b.Fatal(n)
		}
		check(b, db.Close())
	}
}

func BenchmarkWrite(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "reads.db"))
	run(b, s, "CREATE TABLE t(a)")
	for b.Loop() {
		run(b, s, "INSERT INTO t VALUES(1)")
	}
}

func ExampleStore_Write() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, sqlite.Config{Path: filepath.Join(dir, "reads.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Close() }()
	err = s.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "CREATE TABLE package(name TEXT PRIMARY KEY)")
		return err
	})
	fmt.Println(err)
	// Output: <nil>
}
