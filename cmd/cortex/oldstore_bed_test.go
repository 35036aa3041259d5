package main_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// oldStore returns a machine with a store that the commit before the move of the packages
// (b5312a1) wrote. testdata/store-before-move has its state directory and a backup of it.
// Its twelve transactions include an upgrade, a failure, an undo, a redo, a hold and an
// external change of toy packages. The machine has the packages that they left installed.
func oldStore(t *testing.T) *machine {
	t.Helper()
	m := setup(t)
	m.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-app", "toy-lib", "toy-common")
	m.Run(t, "/usr/bin/apt-mark", "hold", "toy-lib")
	m.unpack("state.tar.gz", "/var/lib/cortex")
	return m
}

// unpack unpacks a file of the old store into a directory of the root.
func (m *machine) unpack(name, dir string) {
	m.t.Helper()
	m.Run(m.t, "/bin/mkdir", "-p", dir)
	file := filepath.Join("testdata", "store-before-move", name)
	if out, err := exec.Command("tar", "-C", filepath.Join(m.Root(), dir), "-xpzf", file).CombinedOutput(); err != nil {
		m.t.Fatalf("unpack %s: %v: %s", name, err, out)
	}
}

func TestOldStoreOpensReplaysAndVerifies(t *testing.T) {
	m := oldStore(t)
	before := m.must(0, "history", "-n", "0", "--json").out
	m.must(0, "audit", "verify")
	m.must(0, "replay", "--verify")
	m.must(0, "daemon", "stop")
	m.Run(t, "/bin/rm", "-r", "/var/lib/cortex/read")
	m.must(0, "replay")
	m.must(0, "replay", "--verify")
	if after := m.must(0, "history", "-n", "0", "--json").out; after != before {
		t.Errorf("history after a rebuild:\n%s\nbefore:\n%s", after, before)
	}
	if n := len(m.history()); n != 12 {
		t.Errorf("%d transactions, want 12", n)
	}
	m.must(0, "store", "verify")
	m.must(0, "install", "cowsay", "--yes") // the log accepts new events
	m.must(0, "audit", "verify")
}

func TestOldStoreIsUndone(t *testing.T) {
	m := oldStore(t)
	for _, ref := range []string{"12", "10", "2"} { // hold, made outside cortex, upgrade
		r := m.must(0, "undo", ref, "--yes")
		if !strings.Contains(r.out, "Everything is exactly as before") {
			t.Errorf("undo %s:\n%s%s", ref, r.out, r.err)
		}
	}
	states := m.PackageStates(t)
	for name, want := range map[string]string{"toy-app": "1.0", "toy-lib": "1.0"} {
		found := false
		for k, v := range states {
			if strings.Contains(k, name) && strings.Contains(v, want) {
				found = true
			}
		}
		if !found {
			t.Errorf("%s is not at %s: %v", name, want, states)
		}
	}
	m.must(0, "audit", "verify")
}

func TestOldBackupIsVerifiedAndRestored(t *testing.T) {
	m := setup(t)
	file := "/root/old.cortex-backup.tar"
	if out, err := exec.Command("sh", "-c", `gzip -dc testdata/store-before-move/backup.tar.gz >"$1"`, "sh", filepath.Join(m.Root(), file)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	m.must(0, "backup", "verify", file)
	m.must(0, "backup", "restore", file, "--into", "/root/restored")
	m.env = append(m.env, "CORTEX_STATE_DIR=/root/restored")
	m.must(0, "audit", "verify")
	if n := len(m.history()); n != 12 {
		t.Errorf("%d transactions, want 12", n)
	}
}
