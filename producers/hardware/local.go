package hardware

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// LocalConfig returns the configuration for the machine with that root directory. nvidia
// queries NVIDIA's library and may be nil. The processor and NVIDIA's library are queried
// only for the root "/".
func LocalConfig(root string, nvidia func(context.Context) (NVIDIAReport, error)) Config {
	c := Config{FS: os.DirFS(root), Now: time.Now, Space: func(p string) (Space, error) { return statfs(filepath.Join(root, p)) }}
	if root == "/" {
		c.Hypervisor, c.NVIDIA = hypervisor, nvidia
	}
	return c
}

func statfs(p string) (Space, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(p, &s); err != nil {
		return Space{}, fmt.Errorf("statfs: %w", err)
	}
	unit := uint64(s.Frsize) // its type differs between architectures
	return Space{Total: s.Blocks * unit, Free: s.Bavail * unit, InodesFree: s.Ffree}, nil
}
