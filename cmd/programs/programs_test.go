package programs_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cortex/cmd/programs"
	"cortex/events"
)

func TestFindSearchesBesideTheExecutableAndNotPATH(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	got, err := programs.Find(filepath.Base(self))
	if err != nil || got != self {
		t.Errorf("the running executable: %q, %v", got, err)
	}
	dir := t.TempDir()
	const name = "cortex-only-in-path"
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	t.Chdir(dir)
	if got, err := programs.Find(name); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("a program in PATH: %q, %v", got, err)
	}
	beside := filepath.Join(filepath.Dir(self), "cortex-directory")
	if err := os.Mkdir(beside, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(beside)
	if got, err := programs.Find(filepath.Base(beside)); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("a directory: %q, %v", got, err)
	}
}
