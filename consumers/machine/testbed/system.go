package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// devices are the device files of a bed. Each of the host's files is bound by itself, so
// that a package cannot change the host's /dev.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

// mountSystemDirs mounts /proc, and private /dev, /dev/pts, /dev/shm and /run.
func mountSystemDirs(root string) error {
	dev := filepath.Join(root, "dev")
	for _, m := range []struct {
		target, kind, options string
	}{
		{filepath.Join(root, "proc"), "proc", ""},
		{dev, "tmpfs", "mode=755,size=1m"},
		{filepath.Join(dev, "pts"), "devpts", "newinstance,ptmxmode=0666,mode=620,gid=5"},
		{filepath.Join(dev, "shm"), "tmpfs", "mode=1777,size=64m"},
		{filepath.Join(root, "run"), "tmpfs", "mode=755,size=64m"},
	} {
		if err := os.Mkdir(m.target, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := unix.Mount(m.kind, m.target, m.kind, unix.MS_NOSUID, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for _, name := range devices {
		file := filepath.Join(dev, name)
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			return err
		}
		if err := unix.Mount("/dev/"+name, file, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind /dev/%s: %w", name, err)
		}
	}
	for name, target := range map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return os.Mkdir(filepath.Join(root, "run/lock"), 0o1777)
}
