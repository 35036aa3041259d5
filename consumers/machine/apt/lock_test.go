package apt

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A program in the place of dpkg that only runs.
func TestRecoverWaitsForDpkgWithoutLock(t *testing.T) {
	m := New(Config{Root: t.TempDir()})
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	put(t, m, "/usr/bin/dpkg", string(text))
	if err := os.Chmod(m.hostPath("/usr/bin/dpkg"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := m.waitForDpkg(t.Context()); err != nil {
		t.Errorf("none runs: %v", err)
	}
	cmd := exec.Command(m.hostPath("/usr/bin/dpkg"), "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program, err := os.Stat(m.hostPath("/usr/bin/dpkg"))
	if err != nil {
		t.Fatal(err)
	}
	if !isRunning(program) || os.Getuid() == 0 && !powerless(t, func() bool { return isRunning(program) }) {
		t.Error("it was not found")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := m.waitForDpkg(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it runs: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- m.waitForDpkg(t.Context()) }()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if err := <-waited; err != nil {
		t.Errorf("after its end: %v", err)
	}
}

// powerless calls f without capabilities, like the hardened unit.
func powerless(t *testing.T, f func() bool) bool {
	t.Helper()
	answer := make(chan bool)
	go func() {
		defer close(answer)
		runtime.LockOSThread() // and never unlocks: the thread ends with this function
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		none := [2]unix.CapUserData{}
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error(err)
			return
		}
		if _, err := os.Stat("/proc/1/exe"); !errors.Is(err, os.ErrPermission) {
			t.Errorf("it still has capabilities: %v", err)
		}
		answer <- f()
	}()
	return <-answer
}
