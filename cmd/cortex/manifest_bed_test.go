package main_test

import (
	"strings"
	"testing"
)

// An import of a machine's manifest reproduces the machine in one transaction, which can be
// undone exactly. The manifest has older versions and holds; the importing machine has a hold
// and an automatic package.
func TestManifestImportReproducesMachine(t *testing.T) {
	old := setup(t)
	old.must(0, "install", "toy-c3", "toy-c2", "toy-c1", "toy-app=1.0", "toy-lib=1.0", "toy-epoch=9.0", "toy-rc=2.0~rc1", "toy-g++", "cowsay", "--yes")
	old.must(0, "hold", "toy-app", "toy-lib", "--yes")
	text := old.must(0, "config", "export").out
	old.WriteFile(t, "/tmp/m.toml", text)
	old.must(0, "config", "diff", "/tmp/m.toml")

	m := newMachine(t)
	m.must(0, "install", "toy-c1", "toy-epoch", "toy-rc", "--yes")
	m.sh("apt-mark hold toy-epoch; apt-mark auto toy-c1")
	m.WriteFile(t, "/tmp/m.toml", text)
	before := m.FullState(t)
	if r := m.must(1, "config", "diff", "/tmp/m.toml"); !strings.Contains(r.out, "toy-epoch  1:1.0, newer than 9.0") || !strings.Contains(r.out, "toy-rc     2.0, newer than 2.0~rc1") {
		t.Errorf("the difference is not shown:\n%s", r.out)
	}
	if r := m.must(4, "config", "import", "/tmp/m.toml", "--yes"); !strings.Contains(r.err, "is on hold") {
		t.Errorf("a hold does not block the import: %s", r.err)
	}
	r := m.must(0, "config", "import", "/tmp/m.toml", "--allow-change-held-packages", "--dry-run")
	for _, want := range []string{"install toy-app 1.0", "downgrade toy-epoch 1:1.0 → 9.0", "unhold toy-epoch", "downgrade toy-rc", "hold toy-lib", "mark-manual toy-c1"} {
		if !strings.Contains(strings.Join(strings.Fields(r.out), " "), want) {
			t.Errorf("the plan does not contain %q:\n%s", want, r.out)
		}
	}
	m.expectState(before)
	m.must(0, "config", "import", "/tmp/m.toml", "--allow-change-held-packages", "--yes")
	if r := m.must(0, "config", "diff", "/tmp/m.toml"); r.out != "no difference\n" {
		t.Errorf("after the import: %s", r.out)
	}
	if r := m.must(0, "config", "import", "/tmp/m.toml", "--yes"); !strings.Contains(r.err, "nothing to do") {
		t.Errorf("a second import: %s", r.err)
	}
	m.must(0, "undo", "--allow-change-held-packages", "--yes")
	m.expectState(before)
	m.must(0, "replay", "--verify")
}

// A version that no source offers is installed from the blob store. If the blob store does
// not have it, the error names it.
func TestManifestImportNamesMissingVersions(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-app=1.0", "toy-lib=1.0", "--yes")
	text := m.must(0, "config", "export").out
	m.WriteFile(t, "/tmp/m.toml", text)
	m.OfferNewest(t)
	m.Run(t, "/usr/bin/apt-get", "clean")
	m.must(0, "upgrade", "--yes")
	m.must(0, "config", "import", "/tmp/m.toml", "--yes")
	m.must(0, "config", "diff", "/tmp/m.toml")

	other := newMachine(t)
	other.OfferNewest(t)
	other.WriteFile(t, "/tmp/m.toml", text)
	if r := other.must(1, "config", "import", "/tmp/m.toml", "--yes", "--skip-files"); !strings.Contains(r.err, "toy-app=1.0, toy-lib=1.0: no source offers this") {
		t.Errorf("the error does not name every missing version: %s", r.err)
	}
	other.must(0, "config", "import", "/tmp/m.toml", "--yes", "--skip-files", "--any-version")
	other.Run(t, "/usr/bin/dpkg-query", "-W", "toy-app")
}

// The import adds the sources that the new machine does not have, then installs packages
// from them. An undo removes the sources.
func TestManifestImportAddsSources(t *testing.T) {
	old := setup(t)
	old.sh("echo key >/etc/apt/keyrings/toys.asc; mv /etc/apt/sources.list /etc/apt/sources.list.d/toys.list; apt-get update -q")
	old.must(0, "install", "cowsay", "--yes")
	text := old.must(0, "config", "export").out

	m := newMachine(t)
	m.sh("rm -rf /etc/apt/sources.list /var/lib/apt/lists/*; apt-get update -q")
	m.WriteFile(t, "/tmp/m.toml", text)
	before := m.FullState(t)
	m.must(1, "install", "cowsay", "--dry-run")
	m.must(0, "config", "import", "/tmp/m.toml", "--yes")
	if r := m.must(0, "config", "diff", "/tmp/m.toml"); r.out != "no difference\n" {
		t.Errorf("after the import: %s", r.out)
	}
	m.Run(t, "/usr/games/cowsay")
	m.must(0, "undo", "2..3", "--yes")
	m.expectState(before)
}
