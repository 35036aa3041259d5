package main_test

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"cortex/consumers/recorder"
	"cortex/embedded/natslog"
	"cortex/events"
)

// writeHistory creates a state directory with n installations. It writes in /dev/shm if the
// machine has it, because a sync is free there, and copies the result to dir.
func writeHistory(b *testing.B, dir string, n int) {
	b.Helper()
	scratch, err := os.MkdirTemp("/dev/shm", "cortex-bench")
	if err != nil {
		scratch = b.TempDir()
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	install(b, scratch, n)
	if err := os.CopyFS(dir, os.DirFS(scratch)); err != nil {
		b.Fatal(err)
	}
}

func install(b *testing.B, dir string, n int) {
	b.Helper()
	id := func() events.ID { return events.ID(uuid.Must(uuid.NewV7()).String()) }
	br, err := natslog.Open(b.Context(), natslog.Config{Dir: dir, Create: true, Now: time.Now, NewID: id})
	if err != nil {
		b.Fatal(err)
	}
	s := &recorder.Recorder{Log: br.Log(), Now: time.Now, NewID: id, Actor: events.Actor{User: "root", Program: "cortex"}}
	for i := range n {
		name := events.PackageName(fmt.Sprintf("package-%d", i%200))
		plan := events.Plan{
			Changes: []events.PlannedChange{{PackageKey: events.PackageKey{Name: name, Arch: "amd64"}, Action: events.ActionInstall, To: "1.0"}},
			Steps:   []events.Step{{Op: events.OpInstall, Targets: []events.Target{{PackageRef: events.PackageRef{Name: name}}}}},
		}
		change := events.PackageChange{
			PackageKey: plan.Changes[0].PackageKey,
			After:      events.State{Version: "1.0", Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled},
		}
		t := &events.Transaction{ID: events.TransactionID(id())}
		for _, f := range []events.Fact{
			&events.Requested{Number: i + 1, Intent: events.Intent{Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: name}}, CommandLine: "cortex install " + string(name)}},
			&events.Planned{PlanID: plan.ID(), Plan: plan},
			&events.Approved{PlanID: plan.ID(), How: "yes-flag"},
			&events.Started{PlanID: plan.ID()},
			&events.StepStarted{Op: events.OpInstall, Argv: []string{"apt-get", "install", "--", string(name)}},
			&events.StepSucceeded{Output: "done\n", DurationMs: 300},
			&events.Succeeded{Changes: []events.PackageChange{change}},
		} {
			if _, err := s.AppendToTransaction(b.Context(), recorder.Cause{}, t, f); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := br.Close(); err != nil {
		b.Fatal(err)
	}
}

// starter is a program that reads a history.
type starter struct {
	name string
	run  func(b *testing.B)
}

// BenchmarkStart measures whole processes: an empty Go program, and commands that read the
// history of 1,000 transactions (CORTEX_BENCH_TRANSACTIONS), both as installed and with the
// engine in the same program. With the tag peers ('make peers') it also measures apt and dnf5
// with the same number of transactions.
func BenchmarkStart(b *testing.B) {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("CORTEX_BENCH_TRANSACTIONS"), "1000"))
	if err != nil {
		b.Fatal(err)
	}
	whole, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	cortex, err := build("-tags", "noengine", "-ldflags", "-s -w") // as installed
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	hello, state := buildEmptyProgram(b, dir), filepath.Join(dir, "state")
	writeHistory(b, state, n)
	run := func(b *testing.B, name string, args ...string) {
		b.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "CORTEX_STATE_DIR="+state)
		execute(b, cmd)
	}
	run(b, whole, "replay")
	run(b, whole, "daemon", "stop")
	one := strconv.Itoa(n / 2)
	var all []starter
	for _, c := range []struct {
		name, program string
		args          []string
	}{
		{"hello", hello, nil},
		{"version", cortex, []string{"version"}},
		{"history", cortex, []string{"history"}},
		{"history-whole", whole, []string{"history"}},
		{"history-all", cortex, []string{"history", "-n", "0"}},
		{"show", cortex, []string{"show", one}},
		{"status", cortex, []string{"status"}},
	} {
		all = append(all, starter{c.name, func(b *testing.B) {
			if c.name == "status" { // status needs the daemon
				run(b, whole, "daemon", "start")
				b.Cleanup(func() { run(b, whole, "daemon", "stop") })
			}
			for b.Loop() {
				run(b, c.program, c.args...)
			}
		}})
	}
	for _, s := range append(all, peerStarters(b, n)...) {
		b.Run(fmt.Sprintf("of=%d/%s", n, s.name), s.run)
	}
}

// execute runs a command, discards its output and fails the benchmark if the command fails.
func execute(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	cmd.Stdout = io.Discard
	if err := cmd.Run(); err != nil {
		b.Fatalf("%q: %v", cmd.Args, err)
	}
}

// buildEmptyProgram builds a Go program with an empty main and returns its path.
func buildEmptyProgram(b *testing.B, dir string) string {
	b.Helper()
	hello := filepath.Join(dir, "hello")
	if err := os.WriteFile(hello+".go", []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", hello, hello+".go")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return hello
}
