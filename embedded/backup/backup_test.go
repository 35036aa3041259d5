package backup_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cortex/embedded/backup"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// state returns a small state directory.
func state(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	for name, text := range map[string]string{
		"vault/contents/aa": "deb", "vault/key": "secret", "log/jetstream/1.blk": strings.Repeat("block", 100),
		"manifest.json": "{}", "audit/key": "k", "read/history.db": "made again", "daemon.log": "no", "memory-keys/0/x": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("contents/aa", filepath.Join(dir, "vault/name.deb")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t testing.TB, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := backup.Write(t.Context(), &b, dir, func(i *backup.Info) error {
		i.Host, i.Head, i.Created = "h", 7, time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tree returns the mode and content of the files below a directory, by path.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		text := ""
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = string(b)
		case info.Mode()&os.ModeSymlink != 0:
			text, _ = os.Readlink(path)
		}
		out[name] = fmt.Sprint(info.Mode(), " ", text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func nothing(string, backup.Info) error { return nil }

func TestExtractRestoresTheBackup(t *testing.T) {
	dir := state(t)
	b := write(t, dir)
	into := filepath.Join(t.TempDir(), "new", "state")
	info, err := backup.Extract(t.Context(), bytes.NewReader(b), into, nothing)
	if err != nil || info.Head != 7 || info.Host != "h" {
		t.Fatalf("%+v, %v", info, err)
	}
	want := tree(t, dir)
	delete(want, ".")
	for _, name := range []string{"read", "read/history.db", "daemon.log"} { // not in a backup
		delete(want, name)
	}
	got := tree(t, into)
	delete(got, ".")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := backup.Extract(t.Context(), bytes.NewReader(b), into, nothing); !errors.Is(err, events.ErrConflict) {
		t.Errorf("it was overwritten: %v", err)
	}
}

func TestReadRefusesDamagedBackups(t *testing.T) {
	b := write(t, state(t))
	whole := len(bytes.TrimRight(b, "\x00"))
	for n := 0; n < whole; n += 7 {
		if _, err := backup.Read(t.Context(), bytes.NewReader(b[:n])); !errors.Is(err, events.ErrCorrupt) {
			t.Fatalf("cut at %d of %d: %v", n, whole, err)
		}
	}
	plain, err := backup.Read(t.Context(), bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	harmless := 0
	for i := 0; i < len(b); i += 5 {
		bad := bytes.Clone(b)
		bad[i] ^= 0x55
		info, err := backup.Read(t.Context(), bytes.NewReader(bad))
		switch {
		case err == nil && cmp.Equal(plain, info):
			harmless++ // padding between entries
		case err == nil:
			t.Fatalf("byte %d of %d: taken for %+v", i, len(b), info)
		}
	}
	t.Logf("%d bytes, %d of them padding", len(b), harmless)
}

func TestExtractStaysInsideTheDirectory(t *testing.T) {
	for name, h := range map[string]tar.Header{
		"up":                   {Name: "../x", Typeflag: tar.TypeReg},
		"up, inside":           {Name: "log/../../x", Typeflag: tar.TypeReg},
		"absolute":             {Name: "/etc/passwd", Typeflag: tar.TypeReg},
		"not an included part": {Name: "bin/sh", Typeflag: tar.TypeReg},
		"link up":              {Name: "vault/l", Linkname: "../../etc", Typeflag: tar.TypeSymlink},
		"link absolute":        {Name: "vault/l", Linkname: "/etc", Typeflag: tar.TypeSymlink},
		"hard link":            {Name: "vault/l", Linkname: "/etc/passwd", Typeflag: tar.TypeLink},
		"device":               {Name: "vault/d", Typeflag: tar.TypeBlock},
		"pipe":                 {Name: "vault/p", Typeflag: tar.TypeFifo},
		"through a link":       {Name: "vault/l/../../x", Typeflag: tar.TypeReg},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			w.Close()
			dir := t.TempDir()
			if _, err := backup.Extract(t.Context(), &b, filepath.Join(dir, "state"), nothing); err == nil {
				t.Error("it was taken")
			}
			if left := tree(t, dir); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestExtractLeavesNothingAfterAnError(t *testing.T) {
	b := write(t, state(t))
	dir := t.TempDir()
	no := errors.New("no")
	if _, err := backup.Extract(t.Context(), bytes.NewReader(b), filepath.Join(dir, "state"), func(string, backup.Info) error { return no }); !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
	if left := tree(t, dir); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

// FuzzRead checks that Read returns an error for invalid data and does not panic.
func FuzzRead(f *testing.F) {
	f.Add([]byte{})
	f.Add(write(f, state(f)))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if _, err := backup.Extract(t.Context(), bytes.NewReader(b), filepath.Join(dir, "s"), nothing); err != nil {
			if left := tree(t, dir); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		}
	})
}
