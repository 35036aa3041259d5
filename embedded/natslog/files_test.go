package natslog_test

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cortex/embedded/natslog"
)

// tree returns the digests of the files below a directory, by path.
func tree(t testing.TB, dir string) map[string][32]byte {
	t.Helper()
	out := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "lock" {
			return err
		}
		b, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, dir)] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// image returns a copy of a directory, which is what a crash at this moment leaves. It skips
// temporary files (*.tmp).
func image(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "image")
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		target := filepath.Join(to, strings.TrimPrefix(path, dir))
		switch {
		case strings.HasSuffix(path, ".tmp"):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(target, 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o600)
	})
	check(t, err)
	return to
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	return b
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	check(t, os.WriteFile(path, b, 0o600))
}

// blocks returns the paths of the facts' block files, oldest first.
func blocks(t testing.TB, dir string) []string {
	t.Helper()
	found, err := natslog.StreamFiles(dir, natslog.FactsStream).Blocks()
	check(t, err)
	if len(found) == 0 {
		t.Fatal("no blocks: the test looks at the wrong place")
	}
	var out []string
	for _, b := range found {
		out = append(out, b.Path)
	}
	return out
}

func lastBlock(t testing.TB, dir string) string {
	t.Helper()
	all := blocks(t, dir)
	return all[len(all)-1]
}

// flip changes one bit of a marker's first byte, or without a marker in the middle of the file.
func flip(t testing.TB, path, marker string) {
	t.Helper()
	b := read(t, path)
	at := len(b) / 2
	if marker != "" {
		if at = strings.LastIndex(string(b), marker); at < 0 {
			t.Fatalf("%q is not in %s", marker, path)
		}
	}
	b[at] ^= 1
	write(t, path, b)
}
