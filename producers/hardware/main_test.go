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

// ghwDir finds the module whose snapshots of real machines are the fixtures;
// tools.mod pins its version. It is fetched when it is not there.
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

// snapshot is a real machine's files. Without the module the test fails, but for
// -short, where it is skipped.
func snapshot(t testing.TB, name string) fstest.MapFS {
	t.Helper()
	dir, err := ghwDir()
	if err != nil && testing.Short() {
		t.Skip("the module with the snapshots cannot be had: ", err)
	}
	if err != nil {
		t.Fatal("the module with the snapshots cannot be had: ", err)
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

// files is a machine made of some files; a name that ends in @ is a link.
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

// collect reads a machine that can be asked nothing but its files.
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
	saw(r.Facts)
	return r
}

// values gives those facts as people see them; what is not known as "? WHY".
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

// expect compares facts with what they should be.
func expect(t *testing.T, r hardware.Reading, want map[string]string) {
	t.Helper()
	for key, w := range want {
		if got := values(r, key)[key]; got != w {
			t.Errorf("%s is %q, not %q", key, got, w)
		}
	}
}
