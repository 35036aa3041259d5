package main_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

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

// followed begins a command and gives its next line on stderr, each time it is
// asked, as soon as there is one.
func (m *machine) followed(args ...string) (*exec.Cmd, func() string) {
	m.t.Helper()
	cmd, _, _ := m.command(args...)
	r, w, err := os.Pipe()
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { r.Close() })
	cmd.Stderr = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		m.t.Fatal(err)
	}
	lines := bufio.NewReader(r)
	return cmd, func() string {
		line, err := lines.ReadString('\n')
		if err != nil {
			m.t.Fatalf("%q said no more: %v", args, err)
		}
		return line
	}
}

func TestAStoppedDaemonIsWaitedForAndNothingIsLost(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "sl", "--yes")
	pid := m.daemon()
	before := m.FullState(t)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	if out := m.must(0, "history").out; !strings.Contains(out, "install sl") {
		t.Errorf("history needs the daemon:\n%s", out)
	}
	waits, lines := m.followed("install", "cowsay", "--yes")
	if line := lines(); !strings.Contains(line, "does not answer; waiting") {
		t.Errorf("it says %q", line)
	}
	if long() { // until it gives up
		began := time.Now()
		r := m.must(1, "install", "sl", "--yes")
		if took := time.Since(began); took > time.Minute || !strings.Contains(r.err, "the daemon runs but does not answer") {
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
	m.until("apt to end without it", func() bool { return strings.Contains(m.PackageStates(t)["toy-slow:amd64"], " installed ") })
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
