package main_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// long tells whether 'make crash' asked for the long forms.
func long() bool { return os.Getenv("CORTEX_CRASH") == "long" }

// daemon gives the process that answers.
func (m *machine) daemon() int {
	m.t.Helper()
	var v struct {
		Daemon struct {
			PID int `json:"pid"`
		} `json:"daemon"`
	}
	if err := json.Unmarshal([]byte(m.must(0, "status", "--json").out), &v); err != nil || v.Daemon.PID == 0 {
		m.t.Fatalf("no daemon answers: %v", err)
	}
	return v.Daemon.PID
}

// sound wants everything to be well after a fault, as a new daemon sees it: the
// log whole, the read models what the log says, and history what dpkg says.
func (m *machine) sound() {
	m.t.Helper()
	m.cortex("daemon", "stop")
	m.settled()
	m.must(0, "audit", "verify")
	m.truth()
}

// tmpfs puts a small disk where a directory of the machine is, with what the
// directory holds on it. It is gone with the test.
func (m *machine) tmpfs(dir, size string) {
	m.t.Helper()
	path := filepath.Join(m.Root(), dir)
	m.sh("mkdir -p " + dir + " /run/kept && cp -a " + dir + "/. /run/kept/")
	if err := unix.Mount("faults", path, "tmpfs", 0, "mode=755,size="+size); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) })
	m.sh("cp -a /run/kept/. " + dir + "/ && rm -r /run/kept")
}

// remount makes a small disk read-only, or writable again.
func (m *machine) remount(dir string, flags uintptr) {
	m.t.Helper()
	if err := unix.Mount("faults", filepath.Join(m.Root(), dir), "", unix.MS_REMOUNT|flags, ""); err != nil {
		m.t.Fatal(err)
	}
}

func TestAStoppedDaemonIsWaitedForAndNothingIsLost(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "sl", "--yes")
	pid := m.daemon()
	before := m.Vector(t)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	if out := m.must(0, "history").out; !strings.Contains(out, "install sl") {
		t.Errorf("history needs the daemon:\n%s", out)
	}
	said := func(cmd *exec.Cmd) io.Reader { // what it says as soon as it does
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		cmd.Stderr = w
		return r
	}
	waits, _, _ := m.command("install", "cowsay", "--yes")
	words := bufio.NewReader(said(waits))
	if err := waits.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := words.ReadString('\n'); !strings.Contains(line, "does not answer; waiting") {
		t.Errorf("it says %q", line)
	}
	if long() { // until it gives up
		began := time.Now()
		r := m.must(1, "install", "sl", "--yes")
		if took := time.Since(began); took > time.Minute || !strings.Contains(r.err, "it is there and does not answer") {
			t.Errorf("after %s:\n%s", took, r.err)
		}
		if r := m.must(1, "daemon", "run"); !strings.Contains(r.err, "another cortex daemon owns it") {
			t.Errorf("a second daemon says:\n%s", r.err)
		}
		_ = waits.Wait() // as long as the other
		waits = m.background("install", "cowsay", "--yes")
	}
	m.vector(before)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if now := m.daemon(); now != pid {
		t.Errorf("daemon %d has become %d", pid, now)
	}
	if err := waits.Wait(); err != nil {
		t.Errorf("the command that waited: %v", err)
	}
	if got := m.show("last").State; got != events.StateSucceeded {
		t.Errorf("%s", got)
	}
	m.sound()
}

func TestADaemonStoppedWhileAptRunsGoesOnAfterwards(t *testing.T) {
	m := setup(t)
	cmd := m.slow()
	pid := m.daemon()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	m.WriteFile(t, "/run/toy-slow.go", "")
	m.until("apt to end without it", func() bool { return strings.Contains(m.State(t)["toy-slow:amd64"], " installed ") })
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the command: %v", err)
	}
	if got := m.show("last"); got.State != events.StateSucceeded || len(got.PackageChanges) != 1 {
		t.Errorf("%s with %v", got.State, got.PackageChanges)
	}
	m.sound()
}

// makeRoom and takeRoom change how much is free on the disk of the state directory.
func (m *machine) takeRoom(dir string) {
	m.t.Helper()
	m.Try("/bin/sh", "-c", "dd if=/dev/zero of="+dir+"/filler bs=64k 2>/dev/null; dd if=/dev/zero of="+dir+"/filler bs=1 oflag=append conv=notrunc count=65536 2>/dev/null")
}

func (m *machine) makeRoom(dir string) {
	m.t.Helper()
	m.Remove(m.t, dir+"/filler")
}

const state = "/var/lib/cortex"

func TestAReadOnlyStateDirectoryIsSaidAndLosesNothing(t *testing.T) {
	m := setup(t)
	m.tmpfs(state, "128m")
	m.must(0, "install", "sl", "--yes")
	before := m.Vector(t)
	for _, running := range []bool{true, false} {
		if !running {
			m.must(0, "daemon", "stop")
		}
		m.remount(state, unix.MS_RDONLY)
		r := m.must(1, "install", "cowsay", "--yes")
		t.Logf("running %v: %s", running, r.err)
		t.Logf("history: %+v", m.cortex("history"))
		m.vector(before)
		m.remount(state, 0)
		t.Logf("%+v", m.cortex("history"))
		m.sound()
	}
	m.must(0, "install", "cowsay", "--yes")
	m.sound()
}

func TestAFullDiskRefusesAndLosesNothing(t *testing.T) {
	t.Run("before the first start", func(t *testing.T) {
		m := setup(t)
		m.tmpfs(state, "128m")
		m.takeRoom(state)
		before := m.Vector(t)
		r := m.must(1, "install", "cowsay", "--yes")
		t.Log(r.err)
		m.vector(before)
		m.makeRoom(state)
		m.must(0, "install", "cowsay", "--yes")
		m.sound()
	})
	t.Run("before a request", func(t *testing.T) {
		m := setup(t)
		m.tmpfs(state, "128m")
		m.must(0, "install", "sl", "--yes")
		before := m.Vector(t)
		m.takeRoom(state)
		r := m.must(1, "install", "cowsay", "--yes")
		t.Log(r.err)
		m.vector(before)
		m.makeRoom(state)
		m.must(0, "install", "cowsay", "--yes")
		m.sound()
	})
	t.Run("before a start", func(t *testing.T) {
		m := setup(t)
		m.tmpfs(state, "128m")
		m.must(0, "install", "sl", "--yes")
		m.must(0, "daemon", "stop")
		before := m.Vector(t)
		m.takeRoom(state)
		r := m.must(1, "install", "cowsay", "--yes")
		t.Log(r.err)
		t.Logf("%+v", m.cortex("history"))
		m.vector(before)
		m.makeRoom(state)
		m.must(0, "install", "cowsay", "--yes")
		m.sound()
	})
	t.Run("between plan and approval", func(t *testing.T) {
		m := setup(t)
		m.tmpfs(state, "128m")
		before := m.Vector(t)
		plan := m.plan("install", "cowsay")
		m.takeRoom(state)
		r := m.must(1, "apply", plan)
		t.Log(r.err)
		m.vector(before)
		m.makeRoom(state)
		m.must(0, "apply", plan)
		m.sound()
		m.must(0, "undo", "--yes")
		m.vector(before)
	})
	t.Run("while apt runs", func(t *testing.T) {
		m := setup(t)
		m.tmpfs(state, "128m")
		m.must(0, "install", "sl", "--yes")
		before := m.Vector(t)
		cmd := m.slow()
		m.takeRoom(state)
		m.WriteFile(t, "/run/toy-slow.go", "")
		err := cmd.Wait()
		t.Log(err)
		m.makeRoom(state)
		d := m.ended("2")
		t.Log(d.State, d.PackageChanges)
		m.sound()
		m.must(0, "undo", "--yes")
		m.vector(before)
		m.sound()
	})
}

// plan plans and gives the plan's id.
func (m *machine) plan(args ...string) string {
	m.t.Helper()
	var v struct {
		Plan struct {
			ID string `json:"plan_id"`
		} `json:"plan"`
	}
	for line := range strings.Lines(m.must(0, append(args, "--dry-run", "--json")...).out) {
		if strings.Contains(line, `"type":"plan"`) {
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				m.t.Fatal(err)
			}
		}
	}
	return v.Plan.ID
}
