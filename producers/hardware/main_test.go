package hardware_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"cortex/events"
	"cortex/producers/hardware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(withTable{m}) }

// ghwDir returns the directory of the module whose snapshots of real machines are the
// fixtures. tools.mod pins its version. It downloads the module if necessary.
var ghwDir = sync.OnceValues(func() (string, error) {
	run := func(args ...string) (string, error) {
		out, err := exec.Command("go", args...).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(string(exit.Stderr))
		}
		return strings.TrimSpace(string(out)), err
	}
	if _, err := run("mod", "download", "-modfile=../../tools.mod", "github.com/jaypipes/ghw"); err != nil {
		return "", err
	}
	return run("list", "-modfile=../../tools.mod", "-m", "-f", "{{.Dir}}", "github.com/jaypipes/ghw")
})

// snapshot returns the files of a real machine. Without the module the test fails; with -short
// it is skipped.
func snapshot(t testing.TB, name string) fstest.MapFS {
	t.Helper()
	dir, err := ghwDir()
	if err != nil && testing.Short() {
		t.Skip("download the module with the snapshots: ", err)
	}
	if err != nil {
		t.Fatal("download the module with the snapshots: ", err)
	}
	f, err := os.Open(filepath.Join(dir, "testdata", "snapshots", name+".tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	out := fstest.MapFS{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "/"))
		switch h.Typeflag {
		case tar.TypeReg:
			data, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = &fstest.MapFile{Data: data, Mode: 0o444}
		case tar.TypeSymlink:
			out[name] = &fstest.MapFile{Data: []byte(h.Linkname), Mode: fs.ModeSymlink | 0o777}
		}
	}
}

// files returns a machine with these files. A name that ends in @ is a symbolic link.
func files(contents map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, data := range contents {
		mode := fs.FileMode(0o444)
		if link, ok := strings.CutSuffix(name, "@"); ok {
			name, mode = link, fs.ModeSymlink|0o777
		}
		out[name] = &fstest.MapFile{Data: []byte(data), Mode: mode}
	}
	return out
}

// collect reads a machine from its files only.
func collect(t testing.TB, root fs.FS, more ...func(*hardware.Config)) hardware.Reading {
	t.Helper()
	cfg := hardware.Config{FS: root, Now: func() time.Time { return time.Unix(0, 0) }}
	for _, f := range more {
		f(&cfg)
	}
	r, err := hardware.New(cfg).Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Snapshot(events.HardwareSnapshotOnRequest).Validate(); err != nil {
		t.Errorf("the snapshot is not valid: %v", err)
	}
	noteFacts(r.Facts)
	return r
}

// values returns facts as text: an unknown one as "? REASON", a missing one as "-".
func values(r hardware.Reading, keys ...string) map[string]string {
	out := map[string]string{}
	for _, k := range keys {
		f, ok := events.FindHardwareFact(r.Facts, k)
		switch {
		case !ok:
			out[k] = "-"
		case !f.Known():
			out[k] = "? " + f.Error
		default:
			out[k] = f.Value.String()
		}
	}
	return out
}

// expect compares facts with the wanted texts.
func expect(t *testing.T, r hardware.Reading, want map[string]string) {
	t.Helper()
	for key, w := range want {
		if got := values(r, key)[key]; got != w {
			t.Errorf("%s: got %q, want %q", key, got, w)
		}
	}
}
