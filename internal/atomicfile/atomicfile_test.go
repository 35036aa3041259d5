package atomicfile_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"cortex/internal/atomicfile"
)

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWriteSetsModeWithoutUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path := filepath.Join(t.TempDir(), "f")
	for _, mode := range []fs.FileMode{0o644, 0o600, 0, 0o755 | fs.ModeSetuid} {
		uid, gid := os.Getuid(), os.Getgid()
		o := atomicfile.Options{Mode: mode, Owner: &atomicfile.Owner{UID: uid, GID: gid}}
		if err := atomicfile.Write(path, []byte("x"), o); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != mode {
			t.Errorf("mode %v, want %v (%v)", info.Mode(), mode, err)
		}
	}
	if got := names(t, filepath.Dir(path)); got != "f" {
		t.Errorf("files: %s", got)
	}
}

func TestWriteSetsOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := atomicfile.Write(path, nil, atomicfile.Options{Mode: 0o600, Owner: &atomicfile.Owner{UID: 12, GID: 34}}); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil || st.Uid != 12 || st.Gid != 34 {
		t.Errorf("owner %d:%d, %v", st.Uid, st.Gid, err)
	}
	if err := atomicfile.Symlink(path, "target", atomicfile.Options{Owner: &atomicfile.Owner{UID: 56, GID: 78}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Lstat(path, &st); err != nil || st.Uid != 56 || st.Gid != 78 {
		t.Errorf("owner of the link %d:%d, %v", st.Uid, st.Gid, err)
	}
}

func TestWriteFailureKeepsOldFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no more input")
	err := atomicfile.WriteFunc(path, atomicfile.Options{Mode: 0o600}, func(w io.Writer) error {
		if got := content(t, path); got != "old" {
			t.Errorf("content while writing: %q", got)
		}
		if _, err := io.WriteString(w, "half of the new"); err != nil {
			t.Error(err)
		}
		return cause
	})
	if !errors.Is(err, cause) || content(t, path) != "old" || names(t, dir) != "f" {
		t.Errorf("%v; content %q, files %s", err, content(t, path), names(t, dir))
	}
	sub := filepath.Join(dir, "d")
	if err := os.Mkdir(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	var p *fs.PathError
	err = atomicfile.Write(sub, nil, atomicfile.Options{Mode: 0o600}) // a directory is not replaced
	if !errors.As(err, &p) || p.Path != sub || names(t, dir) != "d f" {
		t.Errorf("%v; files %s", err, names(t, dir))
	}
}

func TestWriteReplacesLink(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "link"), filepath.Join(dir, "target")
	if err := errors.Join(os.WriteFile(target, []byte("old"), 0o600), os.Symlink("target", path)); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.Write(path, []byte("new"), atomicfile.Options{Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || content(t, target) != "old" || content(t, path) != "new" {
		t.Errorf("link %q, target %q", content(t, path), content(t, target))
	}
}

func TestWriteFixedTempName(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	path, tmp := filepath.Join(dir, "f"), filepath.Join(dir, "f.tmp")
	if err := errors.Join(os.WriteFile(outside, []byte("safe"), 0o600), os.Symlink(outside, tmp)); err != nil { // left behind, or planted
		t.Fatal(err)
	}
	err := atomicfile.WriteFunc(path, atomicfile.Options{Mode: 0o600, Temp: "f.tmp"}, func(w io.Writer) error {
		if names(t, dir) != "f.tmp" {
			t.Errorf("files while writing: %s", names(t, dir))
		}
		_, err := io.WriteString(w, "new")
		return err
	})
	if err != nil || content(t, path) != "new" || content(t, outside) != "safe" || names(t, dir) != "f" {
		t.Errorf("%v; content %q, outside %q, files %s", err, content(t, path), content(t, outside), names(t, dir))
	}
}

func TestWriteNoReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	o := atomicfile.Options{Mode: 0o600, NoReplace: true}
	if err := atomicfile.Write(path, []byte("first"), o); err != nil {
		t.Fatal(err)
	}
	err := atomicfile.Write(path, []byte("second"), o)
	if !errors.Is(err, fs.ErrExist) || content(t, path) != "first" || names(t, dir) != "key" {
		t.Errorf("%v; content %q, files %s", err, content(t, path), names(t, dir))
	}
}

func TestWriteInStaysInDirectory(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := os.Symlink(t.TempDir(), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../f", "link/f", "/f", "..", ".", ""} {
		err := atomicfile.WriteIn(root, name, atomicfile.Options{Mode: 0o600}, func(io.Writer) error { return nil })
		if err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if got := names(t, dir); got != "link" {
		t.Errorf("files: %s", got)
	}
}

func TestSymlinkReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "current")
	for _, target := range []string{"1", "2"} {
		if err := atomicfile.Symlink(path, target, atomicfile.Options{Temp: "current.new"}); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(path); err != nil || got != target || names(t, dir) != "current" {
			t.Errorf("link to %q, %v; files %s", got, err, names(t, dir))
		}
	}
}

func TestSync(t *testing.T) {
	dir := t.TempDir()
	if err := atomicfile.Sync(dir); err != nil {
		t.Error(err)
	}
	if err := atomicfile.Sync(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
