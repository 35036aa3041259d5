package testbed

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDebIsReproducible(t *testing.T) {
	debs, err := builtDebs()
	if err != nil {
		t.Fatal(err)
	}
	if len(debs) < 40 || len(debs) != len(toyPackages()) {
		t.Fatalf("%d packages of %d toys", len(debs), len(toyPackages()))
	}
	for _, p := range toyPackages() {
		again, err := p.build()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, debs[p.fileName()]) {
			t.Errorf("%s differs", p.fileName())
		}
	}
}

// Versions of one package and architecture are listed from old to new; OfferNewest
// relies on it.
func TestToyVersionsAreOrdered(t *testing.T) {
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip("dpkg is not installed")
	}
	last := map[string]string{}
	for _, p := range toyPackages() {
		key := p.Name + ":" + p.arch()
		if before, ok := last[key]; ok {
			if err := exec.Command(dpkg, "--compare-versions", before, "lt", p.Version).Run(); err != nil {
				t.Errorf("%s: %s comes before %s", key, before, p.Version)
			}
		}
		last[key] = p.Version
	}
}

func TestDebIsReadableByDpkg(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("dpkg-deb is not installed")
	}
	debs, err := builtDebs()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, p := range toyPackages() {
		path := filepath.Join(dir, p.fileName())
		if err := os.WriteFile(path, debs[p.fileName()], 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("dpkg-deb", "--showformat=${Package} ${Version} ${Architecture}", "--show", path).CombinedOutput()
		if want := p.Name + " " + p.Version + " " + p.arch(); err != nil || string(out) != want {
			t.Errorf("%s: %v: %s", p.fileName(), err, out)
		}
		if p.Name != "toy-app" || p.Version != "2.0" {
			continue
		}
		list, err := exec.Command("dpkg-deb", "--contents", path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, list)
		}
		var names []string
		for line := range strings.Lines(string(list)) {
			f := strings.Fields(line)
			names = append(names, f[0]+" "+f[len(f)-1])
		}
		want := []string{
			"drwxr-xr-x ./", "drwxr-xr-x ./etc/", "drwxr-xr-x ./etc/toy-app/", "-rw-r--r-- ./etc/toy-app/main.conf",
			"-rw-r--r-- ./etc/toy-app/new.conf", "drwxr-xr-x ./usr/", "drwxr-xr-x ./usr/bin/", "-rwxr-xr-x ./usr/bin/toy-app",
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("contents (-want +got):\n%s", diff)
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for b.Loop() {
		for _, p := range toyPackages() {
			if _, err := p.build(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
