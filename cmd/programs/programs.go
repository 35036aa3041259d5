// Package programs locates the executables that belong to Cortex: the command, the
// daemon and the helper that queries NVIDIA's library.
//
// It promises never to search PATH, because root runs the programs that it returns.
package programs

import (
	"errors"
	"os"
	"path/filepath"

	"cortex/events"
)

// LibexecDir is the directory in which the Debian package installs helper programs.
const LibexecDir = "/usr/libexec/cortex"

// CommandPath is the path at which the Debian package installs the command.
const CommandPath = "/usr/bin/cortex"

// Find returns the path of a program that belongs to Cortex. It searches the directory of
// the running executable and then [LibexecDir]. It fails with ErrNotFound.
func Find(name string) (string, error) {
	dirs := []string{LibexecDir}
	if self, err := os.Executable(); err == nil {
		dirs = []string{filepath.Dir(self), LibexecDir}
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", &events.Error{Op: "programs.Find", Kind: events.ErrNotFound, Subject: name, Err: errors.New("program not found in " + dirs[0] + " or " + LibexecDir), Hint: "install the cortex package, or build all programs with 'make build'"}
}
