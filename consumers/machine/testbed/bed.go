package testbed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Bed is one isolated root.
type Bed struct{ root string }

// New returns a fresh root. At the end of the test it is removed, and every process in
// it is killed.
func New(t testing.TB) *Bed {
	t.Helper()
	return newBed(t, defaultLayers)
}

// NewWithSuite is [New] with another Debian. Its base is built once into the cache and
// not updated later.
func NewWithSuite(t testing.TB, suite Suite) *Bed {
	t.Helper()
	return newBed(t, func() (overlayLayers, error) { return buildLayers(suite) })
}

func newBed(t testing.TB, prepared func() (overlayLayers, error)) *Bed {
	t.Helper()
	required := os.Getenv("CORTEX_TESTBED") == "require"
	switch {
	case unavailableReason != "" && required:
		t.Fatalf("TEST BED MISSING: %s", unavailableReason)
	case unavailableReason != "":
		t.Skipf("TEST BED MISSING, real apt is not tested here: %s", unavailableReason)
	case testing.Short() && !required:
		t.Skip("real apt is not tested with -short")
	}
	l, err := prepared()
	if err != nil {
		t.Fatalf("prepare test bed: %v", err)
	}
	dir, err := os.MkdirTemp("", "bed")
	if err != nil {
		t.Fatal(err)
	}
	b := &Bed{root: filepath.Join(dir, "root")}
	t.Cleanup(func() {
		b.killAll()
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		_ = os.Remove(dir)
	})
	if err := b.mount(dir, l); err != nil {
		t.Fatalf("mount test bed: %v", err)
	}
	return b
}

func (b *Bed) mount(dir string, l overlayLayers) error {
	if err := unix.Mount("bed", dir, "tmpfs", 0, "size=2g"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{upper, work, b.root} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("bed", b.root, "overlay", 0, "lowerdir="+l.lowerdir()+",upperdir="+upper+",workdir="+work); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	if err := mountSystemDirs(b.root); err != nil {
		return err
	}
	return os.Chmod(filepath.Join(b.root, "tmp"), 0o1777)
}

// Kill sends SIGKILL to every process of this bed that matches one of the names: a
// command name, or the beginning of a command line. It returns the number of processes.
func (b *Bed) Kill(names ...string) int { return b.Signal(syscall.SIGKILL, names...) }

// Signal is Kill with another signal.
func (b *Bed) Signal(sig syscall.Signal, names ...string) int {
	return b.kill(sig, func(proc string) bool {
		comm, _ := os.ReadFile(filepath.Join(proc, "comm"))
		line, _ := os.ReadFile(filepath.Join(proc, "cmdline"))
		words := strings.ReplaceAll(string(line), "\x00", " ")
		return slices.ContainsFunc(names, func(n string) bool {
			return strings.TrimSpace(string(comm)) == n || strings.HasPrefix(words, n)
		})
	})
}

func (b *Bed) killAll() { b.kill(syscall.SIGKILL, func(string) bool { return true }) }

func (b *Bed) kill(sig syscall.Signal, matches func(proc string) bool) int {
	entries, _ := os.ReadDir("/proc")
	killed := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		proc := filepath.Join("/proc", e.Name())
		if root, err := os.Readlink(filepath.Join(proc, "root")); err == nil && root == b.root && matches(proc) {
			if syscall.Kill(pid, sig) == nil {
				killed++
			}
		}
	}
	return killed
}

// Root returns the path of the root, as a path of this process.
func (b *Bed) Root() string { return b.root }

func (b *Bed) path(p string) string { return filepath.Join(b.root, p) }

// Command prepares a program in the root; its path is absolute inside the root.
func (b *Bed) Command(argv ...string) *exec.Cmd { return chrootCommand(b.root, argv...) }

// Try runs a program in the root and returns its output and exit status; -1 if a signal
// ended it or it did not start.
func (b *Bed) Try(argv ...string) (out string, code int) {
	cmd := b.Command(argv...)
	data, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		return err.Error(), -1
	}
	return string(data), cmd.ProcessState.ExitCode()
}

// Run is [Bed.Try]; a failure ends the test.
func (b *Bed) Run(t testing.TB, argv ...string) string {
	t.Helper()
	out, code := b.Try(argv...)
	if code != 0 {
		t.Fatalf("%s exited %d:\n%s", strings.Join(argv, " "), code, out)
	}
	return out
}

// Copy copies a program into the root.
func (b *Bed) Copy(t testing.TB, from, to string) {
	t.Helper()
	// Another process copies it: while this one has the file open for writing, a
	// child that another test starts inherits the descriptor, and the file cannot be
	// executed.
	if out, err := exec.Command("cp", "--", from, b.path(to)).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v: %s", from, err, out)
	}
}

// WriteFile writes a file in the root and creates its parent directories.
func (b *Bed) WriteFile(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(b.path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path(path), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ReadFile reads a file in the root.
func (b *Bed) ReadFile(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(b.path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Exists reports whether a path exists in the root.
func (b *Bed) Exists(path string) bool {
	_, err := os.Lstat(b.path(path))
	return err == nil
}

// Remove removes a file in the root, if it exists.
func (b *Bed) Remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(b.path(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// Offer makes the repository offer only these NAME=VERSION of the named packages. Other
// packages stay unchanged. It fetches apt's lists again.
func (b *Bed) Offer(t testing.TB, versions ...string) {
	t.Helper()
	named := map[string]bool{}
	for _, v := range versions {
		name, _, _ := strings.Cut(v, "=")
		named[name] = true
	}
	b.setOffered(t, func(p toyPackage) bool { return !named[p.Name] || slices.Contains(versions, p.Name+"="+p.Version) })
}

// OfferNewest makes the repository offer only the newest version of each
// package, like a real archive.
func (b *Bed) OfferNewest(t testing.TB) {
	t.Helper()
	newest := map[string]string{} // the packages are listed from old to new
	for _, p := range toyPackages() {
		newest[p.Name+":"+p.arch()] = p.Version
	}
	b.setOffered(t, func(p toyPackage) bool { return newest[p.Name+":"+p.arch()] == p.Version })
}

// OfferAll reverts [Bed.Offer] and [Bed.OfferNewest].
func (b *Bed) OfferAll(t testing.TB) {
	t.Helper()
	b.setOffered(t, func(toyPackage) bool { return true })
}

func (b *Bed) setOffered(t testing.TB, want func(toyPackage) bool) {
	t.Helper()
	var offered []toyPackage
	for _, p := range toyPackages() {
		if want(p) {
			offered = append(offered, p)
		}
	}
	files, err := indexFiles(offered)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b.WriteFile(t, "/repo/"+f.name, string(f.data))
	}
	b.Run(t, "/usr/bin/apt-get", "-q", "update")
}

// PackageStates returns the state of every package from dpkg-query and apt-mark:
// NAME:ARCH → "WANT FLAG STATUS VERSION MARK". It omits packages of which dpkg only has
// the name.
func (b *Bed) PackageStates(t testing.TB) map[string]string {
	t.Helper()
	auto := map[string]bool{}
	for name := range strings.FieldsSeq(b.Run(t, "/usr/bin/apt-mark", "showauto")) {
		auto[name] = true
	}
	out := b.Run(t, "/usr/bin/dpkg-query", "-W", "-f", `${Package}\t${Architecture}\t${db:Status-Want} ${db:Status-Eflag} ${db:Status-Status}\t${Version}\n`)
	state := map[string]string{}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if strings.HasSuffix(f[2], " not-installed") && !strings.HasPrefix(f[2], "install ") && !strings.HasPrefix(f[2], "hold ") {
			continue
		}
		mark := "manual"
		if auto[f[0]] || auto[f[0]+":"+f[1]] {
			mark = "auto"
		}
		state[f[0]+":"+f[1]] = f[2] + " " + f[3] + " " + mark
	}
	return state
}
