package privexec_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"cortex/cmd/privexec"
	"cortex/consumers/machine/limits"
	"cortex/events"
)

const notesEnv = "CORTEX_STATE_DIR" // one that a job inherits

func limitsMachine() *limits.Machine {
	return limits.NewMachine(limits.Config{Root: "/", UID: os.Getuid()}, os.Getenv(notesEnv))
}

// runJob is "cortex worker limits FILE".
func runJob(path string) error {
	job, err := privexec.ReadLimitsJob(path)
	if err == nil {
		var applied events.LimitsApplied
		if applied, err = job.Run(context.Background(), limitsMachine()); err == nil {
			return json.NewEncoder(os.Stdout).Encode(applied)
		}
	}
	return errors.Join(err, json.NewEncoder(os.Stdout).Encode(events.FailureOf(err)))
}

func TestLimitsAreAppliedByTheWorker(t *testing.T) {
	t.Setenv(notesEnv, t.TempDir())
	start, stop := setup(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	l := privexec.NewLimiter(limitsMachine(), start, self, t.TempDir())
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	ref, err := limits.ProcessWithPID("/", cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	soft := func() uint64 {
		t.Helper()
		var r unix.Rlimit
		if err := unix.Prlimit(ref.PID, unix.RLIMIT_AS, nil, &r); err != nil {
			t.Fatal(err)
		}
		return r.Cur
	}
	before := soft()
	who := events.Actor{UID: os.Getuid(), PID: os.Getpid()}
	req := events.LimitsApply{Unit: "a", How: events.LimitsAttach, Backend: limits.Rlimits, Target: strconv.Itoa(ref.PID), Process: &ref, Limits: events.Limits{MemoryBytes: 1 << 30}}
	applied, err := l.Apply(t.Context(), req, who)
	if err != nil || applied.PID != ref.PID || soft() != 1<<30 {
		t.Fatalf("applied %+v, %v; the limit is %d", applied, err, soft())
	}
	if noted, err := l.Noted(); err != nil || len(noted) != 1 {
		t.Errorf("the daemon sees the notes %v, %v", noted, err)
	}
	if err := l.Revert(t.Context(), limits.Group{LimitsApplied: applied}); err != nil || soft() != before {
		t.Errorf("reverted with %v; the limit is %d", err, soft())
	}
	later := ref
	later.StartTicks++
	req.Process = &later
	if _, err := l.Apply(t.Context(), req, who); !errors.Is(err, events.ErrNotFound) || events.HintOf(err) == "" {
		t.Errorf("a refusal came as %v", err)
	}
	stop()
	if _, err := l.Apply(t.Context(), req, who); !errors.Is(err, events.ErrUnavailable) {
		t.Errorf("without a worker: %v", err)
	}
}

// TestALimitsJobIsOneChange keeps a file that is damaged from doing nothing in silence.
func TestALimitsJobIsOneChange(t *testing.T) {
	for i, text := range []string{"{}", `{"apply":{},"revert":{}}`, "x"} {
		path := fmt.Sprintf("%s/%d", t.TempDir(), i)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := privexec.ReadLimitsJob(path); !errors.Is(err, events.ErrUnavailable) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
