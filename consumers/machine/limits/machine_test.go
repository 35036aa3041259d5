package limits_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"cortex/consumers/machine/limits"
	"cortex/events"
)

// sleeper is a child of this test.
func sleeper(t *testing.T) events.ProcessRef {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	ref, err := limits.ProcessWithPID("/", cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func attachTo(ref events.ProcessRef) events.LimitsApply {
	return events.LimitsApply{Unit: "a", Profile: "p", How: events.LimitsAttach, Backend: limits.Rlimits, Target: strconv.Itoa(ref.PID), Process: &ref, Limits: events.Limits{MemoryBytes: 1 << 30}}
}

func TestOnlyTheNamedProcessOfTheUserIsLimited(t *testing.T) {
	self := events.Actor{UID: os.Getuid(), PID: os.Getpid()}
	ref := sleeper(t)
	later, stranger, parent := ref, self, self
	later.StartTicks++
	stranger.UID, parent.PID = os.Getuid()+1, os.Getppid()
	gone := self
	gone.PID = 1 << 22
	run := attachTo(ref)
	run.How = events.LimitsRun
	for name, c := range map[string]struct {
		req  events.LimitsApply
		who  events.Actor
		kind events.ErrorKind
	}{
		"a later process with the number": {attachTo(later), self, events.ErrNotFound},
		"a process that is gone":          {attachTo(events.ProcessRef{PID: 1 << 22, StartTicks: 1}), self, events.ErrNotFound},
		"another user's process":          {attachTo(ref), stranger, events.ErrConfirmation},
		"a child of another command":      {run, parent, events.ErrDenied},
		"a command that is gone":          {attachTo(ref), gone, events.ErrCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			m := limits.NewMachine(limits.Config{Root: "/", UID: os.Getuid()}, t.TempDir())
			before := readLimits(t, ref.PID)
			if _, err := m.Apply(t.Context(), c.req, c.who); !errors.Is(err, c.kind) {
				t.Errorf("got %v", err)
			}
			if noted, err := m.Noted(); err != nil || len(noted) != 0 || readLimits(t, ref.PID) != before {
				t.Errorf("noted %v, %v; the process has %s", noted, err, readLimits(t, ref.PID))
			}
		})
	}
}

func readLimits(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "limits"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestNoteTellsAProcessFromALaterOne(t *testing.T) {
	dir := t.TempDir()
	cfg := limits.Config{Root: "/", UID: os.Getuid()}
	m := limits.NewMachine(cfg, dir)
	ref := sleeper(t)
	before := readLimits(t, ref.PID)
	applied, err := m.Apply(t.Context(), attachTo(ref), events.Actor{UID: os.Getuid(), PID: os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	noted, err := limits.NewMachine(cfg, dir).Noted()
	if err != nil || len(noted) != 1 || noted[0].Unit != "a" || noted[0].Effects[0].Before == "" {
		t.Fatalf("noted %+v, %v", noted, err)
	}
	g := limits.Group{LimitsApplied: applied, At: time.Now(), Command: os.Getpid()}
	if _, err := m.Usage(t.Context(), g); err != nil || !m.CommandRuns(g) {
		t.Errorf("the process runs: %v, the command too", err)
	}
	// The same number, and a note of an earlier process.
	path := filepath.Join(dir, "a.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	start := func(ticks uint64) []byte {
		return fmt.Appendf(nil, `"process":{"pid":%d,"start_ticks":%d}`, ref.PID, ticks)
	}
	old := bytes.Replace(data, start(ref.StartTicks), start(ref.StartTicks-1), 1)
	if bytes.Equal(old, data) {
		t.Fatalf("the note has no start: %s", data)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	limited := readLimits(t, ref.PID)
	if _, err := m.Usage(t.Context(), g); !errors.Is(err, events.ErrNotFound) {
		t.Errorf("usage of a later process: %v", err)
	}
	if err := m.Revert(t.Context(), g); err != nil || readLimits(t, ref.PID) != limited {
		t.Errorf("a later process is changed: %v", err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Revert(t.Context(), g); err != nil || readLimits(t, ref.PID) != before {
		t.Errorf("not restored: %v", err)
	}
	if err := errors.Join(m.Forget("a"), m.Forget("a")); err != nil {
		t.Error(err)
	}
	// Without a note the time decides.
	if g.At = time.Now().Add(-time.Hour); m.CommandRuns(limits.Group{LimitsApplied: applied, At: g.At, Command: ref.PID}) {
		t.Error("a process is taken for one that ran an hour before it started")
	}
	if !m.CommandRuns(limits.Group{LimitsApplied: applied, At: time.Now(), Command: ref.PID}) {
		t.Error("a process that runs is taken for a later one")
	}
}
