package hookfiles_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"cortex/cmd/hookfiles"
	"cortex/events"
)

const binary = "/usr/bin/cortex"

func TestInstallAndUninstall(t *testing.T) {
	root := t.TempDir()
	if err := hookfiles.Install(root, binary); err != nil {
		t.Fatal(err)
	}
	for _, f := range hookfiles.Read(root, binary) {
		if !f.Installed || !f.Current {
			t.Errorf("after installing: %+v", f)
		}
	}
	for _, f := range hookfiles.Read(root, "/opt/cortex") {
		if !f.Installed || f.Current {
			t.Errorf("for another binary: %+v", f)
		}
	}
	if err := hookfiles.Uninstall(root); err != nil {
		t.Fatal(err)
	}
	for _, f := range hookfiles.Read(root, binary) {
		if f.Installed {
			t.Errorf("after uninstalling: %+v", f)
		}
	}
}

func TestFileOfAnotherOwnerStays(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "etc/apt/apt.conf.d/05cortex")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("// mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := hookfiles.Install(root, binary); !errors.Is(err, events.ErrConflict) {
		t.Errorf("install: %v", err)
	}
	if err := hookfiles.Uninstall(root); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "// mine\n" {
		t.Errorf("the file is now %q, %v", b, err)
	}
}

func TestBinaryInTemporaryDirectoryIsRefused(t *testing.T) {
	root := t.TempDir()
	if err := hookfiles.Install(root, filepath.Join(os.TempDir(), "cortex")); !errors.Is(err, events.ErrUsage) {
		t.Errorf("%v", err)
	}
}
