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

// long reports whether 'make crash' runs the long forms.
func long() bool { return os.Getenv("CORTEX_CRASH") == "long" }

// daemon returns the process id of the daemon that answers.
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

// expectIntact starts a new daemon after a fault and fails the test unless the log is
// intact, the read models equal the log, and the history equals dpkg's state.
func (m *machine) expectIntact() {
	m.t.Helper()
	m.cortex("daemon", "stop")
	m.waitForAllEnds()
	m.must(0, "audit", "verify")
	m.expectTrueHistory()
}

// startFollowed starts a command. The returned function waits for the next line on stderr
// and returns it.
func (m *machine) startFollowed(args ...string) (*exec.Cmd, func() string) {
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
			m.t.Fatalf("no further line from %q: %v", args, err)
		}
		return line
	}
}

func TestDaemonStoppedRequestsWait(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "sl", "--yes")
	pid := m.daemon()
	before := m.FullState(t)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	if out := m.must(0, "history").out; !strings.Contains(out, "install sl") {
		t.Errorf("the history needs the daemon:\n%s", out)
	}
	waits, lines := m.startFollowed("install", "cowsay", "--yes")
	if line := lines(); !strings.Contains(line, "does not answer; waiting") {
		t.Errorf("the command prints %q", line)
	}
	if long() { // until its timeout
		began := time.Now()
		r := m.must(1, "install", "sl", "--yes")
		if took := time.Since(began); took > time.Minute || !strings.Contains(r.err, "the daemon runs but does not answer") {
			t.Errorf("after %s:\n%s", took, r.err)
		}
		if r := m.must(1, "daemon", "run"); !strings.Contains(r.err, "another cortex daemon owns it") {
			t.Errorf("the error of a second daemon is:\n%s", r.err)
		}
		_ = waits.Wait() // it has the same timeout
		waits = m.background("install", "cowsay", "--yes")
	}
	m.expectState(before)
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if now := m.daemon(); now != pid {
		t.Errorf("daemon %d was replaced by %d", pid, now)
	}
	if err := waits.Wait(); err != nil {
		t.Errorf("the waiting command: %v", err)
	}
	if got := m.show("last").State; got != events.StateSucceeded {
		t.Errorf("the state is %s", got)
	}
	m.expectIntact()
}

func TestDaemonStoppedWhileAptRunsContinues(t *testing.T) {
	m := setup(t)
	cmd := m.startSlowInstall()
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
		t.Errorf("the state is %s, the changes are %v", got.State, got.PackageChanges)
	}
	m.expectIntact()
}
