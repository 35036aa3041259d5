package main_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cortex/consumers/machine/testbed"
)

// newPackageMachine returns a fresh root whose apt offers the package that 'make deb' built;
// nil without CORTEX_DEB.
func newPackageMachine(t *testing.T) *machine {
	t.Helper()
	deb := os.Getenv("CORTEX_DEB")
	if deb == "" {
		t.Log("CORTEX_DEB is not set, nothing is tested; 'make deb-test' builds the package and sets it")
		return nil
	}
	m := &machine{Bed: testbed.New(t), t: t}
	m.WriteFile(t, "/etc/apt/sources.list.d/cortex.list", "deb [trusted=yes] copy:/packages ./\n")
	m.WriteFile(t, "/packages/Packages", "")
	m.offerDeb(deb)
	return m
}

// offerDeb adds a package file to the root's local repository.
func (m *machine) offerDeb(deb string) {
	m.t.Helper()
	name := filepath.Base(deb)
	m.Copy(m.t, deb, "/packages/"+name)
	content, err := os.ReadFile(deb)
	if err != nil {
		m.t.Fatal(err)
	}
	control, err := exec.Command("dpkg-deb", "-f", deb).Output()
	if err != nil {
		m.t.Fatal(err)
	}
	entry := fmt.Sprintf("%s\nFilename: ./%s\nSize: %d\nSHA256: %x\n\n", bytes.TrimSpace(control), name, len(content), sha256.Sum256(content))
	m.WriteFile(m.t, "/packages/Packages", m.ReadFile(m.t, "/packages/Packages")+entry)
	m.Run(m.t, "/usr/bin/apt-get", "-q", "update")
}

// buildNextDeb builds the next version of the package and returns its path. It differs by one
// line in the files for apt and dpkg.
func buildNextDeb(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	tree, deb := filepath.Join(dir, "tree"), filepath.Join(dir, "next.deb")
	script := `set -e
dpkg-deb -R "$1" "$2"
sed -i 's/^Version: .*/Version: 99.0-1/' "$2/DEBIAN/control"
echo '// new' >>"$2/etc/apt/apt.conf.d/05cortex"
echo '# new' >>"$2/etc/dpkg/dpkg.cfg.d/cortex"
dpkg-deb -Zgzip -z1 --root-owner-group -b "$2" "$3"`
	if out, err := exec.Command("/bin/sh", "-c", script, "sh", os.Getenv("CORTEX_DEB"), tree, deb).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return deb
}

// files lists the files of the root, without the databases and logs of package managers.
func (m *machine) files() []string {
	m.t.Helper()
	var names []string
	err := filepath.WalkDir(m.Root(), func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, m.Root())
		for _, theirs := range []string{"/var/lib/dpkg", "/var/lib/apt", "/var/cache/apt", "/var/cache/debconf", "/var/log", "/proc", "/dev", "/sys", "/packages"} {
			if name == theirs {
				return fs.SkipDir
			}
		}
		names = append(names, name)
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return names
}

func TestPackageInstallUpgradeRemovePurge(t *testing.T) {
	m := newPackageMachine(t)
	if m == nil {
		return
	}
	before := m.files()
	apt := func(args ...string) string { return m.Run(t, append([]string{"/usr/bin/apt-get", "-y"}, args...)...) }

	apt("install", "cortex")
	m.must(0, "install", "toy-app", "--yes")
	apt("install", "cowsay") // the hooks of the package record it
	m.waitForExternal("install cowsay")
	m.must(0, "undo", "--yes")
	if out := m.Run(t, "/bin/bash", "-c", ". /usr/share/bash-completion/completions/cortex && complete -p cortex"); !strings.Contains(out, "cortex") {
		t.Errorf("bash completion fails: %s", out)
	}
	known := len(m.history())

	// Cortex upgrades itself, in a transaction of the daemon that is replaced.
	m.WriteFile(t, "/etc/apt/apt.conf.d/05cortex", m.ReadFile(t, "/etc/apt/apt.conf.d/05cortex")+"// mine\n")
	m.Remove(t, "/etc/dpkg/dpkg.cfg.d/cortex")
	m.offerDeb(buildNextDeb(t))
	m.must(0, "upgrade", "cortex", "--yes")
	if got := m.ReadFile(t, "/etc/apt/apt.conf.d/05cortex"); !strings.HasSuffix(got, "// mine\n") {
		t.Errorf("the upgrade changed the administrator's file to\n%s", got)
	}
	if m.Exists("/etc/dpkg/dpkg.cfg.d/cortex") {
		t.Error("the upgrade installed the file that the administrator removed")
	}
	if got := len(m.history()); got != known+1 {
		t.Errorf("%d transactions after the upgrade, %d before", got, known)
	}
	m.must(0, "install", "sl", "--yes")

	apt("remove", "cortex")
	if !m.Exists("/var/lib/cortex/read") || m.Exists("/usr/bin/cortex") {
		t.Error("remove must delete the program and keep the history")
	}
	apt("remove", "sl") // with the conffiles of the hooks
	apt("install", "cortex")
	if got := len(m.history()); got < known+2 { // changes in between can be one more transaction
		t.Errorf("%d transactions after reinstalling, want at least %d", got, known+2)
	}
	m.must(0, "replay", "--verify")

	apt("purge", "cortex")
	apt("purge", "toy-app", "toy-lib", "toy-extra")
	var left []string
	for _, name := range m.files() {
		if !slices.Contains(before, name) && !strings.HasPrefix(name, "/tmp/") {
			left = append(left, name)
		}
	}
	if len(left) > 0 {
		t.Errorf("files remain after the purge:\n%s", strings.Join(left, "\n"))
	}
}
