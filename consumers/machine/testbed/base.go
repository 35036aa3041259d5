package testbed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Suite is the Debian release of a root.
type Suite struct {
	Name     string   // for example bookworm
	Packages []string // in addition to the minimal ones
}

// String returns the name of the suite's base in the cache.
func (s Suite) String() string { return strings.Join(append([]string{s.Name}, s.Packages...), "+") }

const mirror = "http://deb.debian.org/debian"

// overlayLayers are the lower directories of an overlay, the topmost first.
type overlayLayers struct{ configured, base string }

func (l overlayLayers) lowerdir() string { return l.configured + ":" + l.base }

// defaultLayers are the layers of the default suite, built once per process.
var defaultLayers = sync.OnceValues(func() (overlayLayers, error) { return buildLayers(Suite{Name: "bookworm"}) })

// buildLayers builds the layers that are missing in the cache, under a lock.
func buildLayers(suite Suite) (overlayLayers, error) {
	dir := os.Getenv("CORTEX_TESTBED_CACHE")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return overlayLayers{}, err
		}
		dir = filepath.Join(cache, "cortex-testbed")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return overlayLayers{}, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return overlayLayers{}, err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return overlayLayers{}, err
	}
	base, err := buildOnce(filepath.Join(dir, "base-1-"+suite.String()), suite.build)
	if err != nil && len(suite.Packages) > 0 {
		return overlayLayers{}, err
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "testbed: no minimal Debian (%v); using an overlay of this machine's own root\n", err)
		base = "/"
	}
	repo, err := repository()
	if err != nil {
		return overlayLayers{}, err
	}
	sum := sha256.New()
	for _, f := range repo {
		sum.Write([]byte(f.name))
		sum.Write(f.data)
	}
	sum.Write([]byte(base + setupScript))
	name := filepath.Join(dir, "configured-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	build := func(temp string) error { return buildConfigured(temp, base, repo) }
	if base == "/" {
		// The layers of one overlay must not contain each other.
		configured, err := buildInTmpfs(build)
		return overlayLayers{configured, base}, err
	}
	configured, err := buildOnce(name, build)
	if errors.Is(err, unix.EINVAL) {
		// The file system of the cache cannot hold the upper directory of an overlay,
		// because it is an overlay itself.
		configured, err = buildInTmpfs(build)
	}
	return overlayLayers{configured, base}, err
}

// buildInTmpfs builds a directory on a tmpfs, which ends with the namespaces of this
// process.
func buildInTmpfs(build func(temp string) error) (string, error) {
	mount, err := os.MkdirTemp("", "cortex-bed-memory")
	if err != nil {
		return "", err
	}
	if err := unix.Mount("bed", mount, "tmpfs", 0, "size=1g"); err != nil {
		return "", errors.Join(fmt.Errorf("mount tmpfs: %w", err), os.Remove(mount))
	}
	dir := filepath.Join(mount, "configured")
	return dir, build(dir)
}

// buildOnce builds a directory under a temporary name and renames it.
func buildOnce(dir string, build func(temp string) error) (string, error) {
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	temp := dir + ".building"
	if err := os.RemoveAll(temp); err != nil {
		return "", err
	}
	if err := build(temp); err != nil {
		return "", errors.Join(err, os.RemoveAll(temp))
	}
	return dir, os.Rename(temp, dir)
}

// build builds a minimal Debian with mmdebstrap or debootstrap.
func (s Suite) build(temp string) error {
	options := []string{"--variant=minbase"}
	if len(s.Packages) > 0 {
		options = append(options, "--include="+strings.Join(s.Packages, ","))
	}
	cmd := exec.Command("debootstrap", append(options, s.Name, temp, mirror)...)
	if _, err := exec.LookPath("mmdebstrap"); err == nil {
		cmd = exec.Command("mmdebstrap", append(options, `--aptopt=Acquire::Check-Valid-Until "false"`, s.Name, temp, mirror)...)
	}
	fmt.Fprintf(os.Stderr, "testbed: building a minimal Debian once (%s, %s)\n", s, cmd.Args[0])
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return nil
}

// setupScript makes the toy repository the only source.
const setupScript = `set -e
rm -f /etc/apt/apt.conf.d/docker-* /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] copy:/repo ./' > /etc/apt/sources.list
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/cache/apt/*.bin
apt-get -q update
`

// buildConfigured builds the changes of setupScript as a layer of their own.
func buildConfigured(temp, base string, repo []repoFile) error {
	mount, err := os.MkdirTemp("", "cortex-bed-setup")
	if err != nil {
		return err
	}
	defer os.Remove(mount) // never RemoveAll: it may still be a mount point
	work := temp + ".work"
	for _, d := range []string{temp, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	defer os.RemoveAll(work)
	if err := unix.Mount("bed", mount, "overlay", 0, "lowerdir="+base+",upperdir="+temp+",workdir="+work); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	defer func() { _ = unix.Unmount(mount, unix.MNT_DETACH) }()
	if err := mountSystemDirs(mount); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(mount, "repo"), 0o755); err != nil {
		return err
	}
	for _, f := range repo {
		if err := os.WriteFile(filepath.Join(mount, "repo", f.name), f.data, 0o644); err != nil {
			return err
		}
	}
	cmd := chrootCommand(mount, "/bin/sh", "-c", setupScript)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("set up: %w\n%s", err, out)
	}
	return nil
}

// environment is the environment of programs in a bed.
var environment = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"LC_ALL=C.UTF-8", "HOME=/root", "DEBIAN_FRONTEND=noninteractive", "TZ=UTC",
}

// chrootCommand prepares a program in a root.
func chrootCommand(root string, argv ...string) *exec.Cmd {
	return &exec.Cmd{
		Path: argv[0], Args: argv, Env: append([]string(nil), environment...), Dir: "/",
		SysProcAttr: &syscall.SysProcAttr{Chroot: root},
	}
}
