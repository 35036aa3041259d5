package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cortex/embedded/sqlite"
)

// childVariable makes the test binary read the named file instead of running the tests.
const childVariable = "CORTEX_TEST_STORE_CHILD"

// runChild prints the number of rows, or the error.
func runChild(path string) int {
	db, err := sqlite.OpenReader(context.Background(), path, 1)
	if err != nil {
		fmt.Println("refused:", err)
		return 0
	}
	defer func() { _ = db.Close() }()
	n, err := counted(db)
	if err != nil {
		fmt.Println("failed:", err)
		return 0
	}
	fmt.Println("rows:", n)
	return 0
}

// asNobody reads the file in a process of the user nobody.
func asNobody(t *testing.T, binary, path string) string {
	t.Helper()
	cmd := exec.Command(binary) // this very binary
	cmd.Env = []string{childVariable + "=" + path}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

// public returns a directory that every user can reach, with the test binary in it.
func public(t *testing.T) (dir, binary string) {
	t.Helper()
	dir = t.TempDir()
	check(t, os.Chmod(filepath.Dir(dir), 0o755)) // so that others get to the file
	check(t, os.Chmod(dir, 0o755))
	binary = filepath.Join(dir, "reader.test")
	self, err := os.ReadFile(os.Args[0])
	check(t, err)
	check(t, os.WriteFile(binary, self, 0o755)) // the user nobody runs it
	return dir, binary
}

func TestOpenReaderAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root can start a process of another user; reading as another user was NOT tested")
	}
	dir, binary := public(t)
	place := func(t *testing.T) string {
		t.Helper()
		path := filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_"), "reads.db")
		s, err := sqlite.Open(t.Context(), sqlite.Config{Path: path})
		check(t, err)
		run(t, s, "CREATE TABLE t(a)", "INSERT INTO t VALUES(1)")
		check(t, s.Close())
		return path
	}
	expect := func(t *testing.T, path, want string) {
		t.Helper()
		if got := asNobody(t, binary, path); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	t.Run("after Close", func(t *testing.T) {
		path := place(t)
		expect(t, path, "rows: 1")
		if left, _ := filepath.Glob(path + "-*"); len(left) > 0 {
			t.Errorf("remaining files: %v", left)
		}
	})
	t.Run("after root has read it", func(t *testing.T) {
		path := place(t)
		db, err := sqlite.OpenReader(t.Context(), path, 1)
		check(t, err)
		if n := count(t, db); n != 1 {
			t.Errorf("root sees %d rows", n)
		}
		expect(t, path, "rows: 1")
		check(t, db.Close())
		expect(t, path, "rows: 1")
	})
	t.Run("while a writer has it open", func(t *testing.T) {
		path := place(t)
		s := open(t, path)
		for n := 2; n < 10; n++ {
			run(t, s, "INSERT INTO t VALUES(1)")
			expect(t, path, fmt.Sprintf("rows: %d", n))
		}
	})
	crashed := func(t *testing.T) string {
		t.Helper()
		path := place(t)
		s := open(t, path)
		run(t, s, "INSERT INTO t VALUES(1)")
		to := filepath.Dir(path) + "-image"
		check(t, os.CopyFS(to, os.DirFS(filepath.Dir(path))))
		return filepath.Join(to, "reads.db")
	}
	t.Run("after a crash", func(t *testing.T) {
		expect(t, crashed(t), "rows: 2")
	})
	t.Run("after a crash without the shared index", func(t *testing.T) {
		path := crashed(t)
		check(t, os.Remove(path+"-shm"))
		expect(t, path, "refused: "+path+": it was not closed properly")
		db, err := sqlite.OpenReader(t.Context(), path, 1) // root can repair it
		check(t, err)
		defer func() { check(t, db.Close()) }()
		if n := count(t, db); n != 2 {
			t.Errorf("root sees %d rows", n)
		}
	})
}
