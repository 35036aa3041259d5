package limits_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"cortex/consumers/machine/limits"
	"cortex/events"
)

// TestMain is also the programs that are limited.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "enter":
			fmt.Fprintln(os.Stderr, limits.WaitAndExec(os.Args[2:]))
			os.Exit(125)
		case "hog":
			hog(os.Args[2])
		case "spin":
			spin(os.Args[2])
		case "stay":
			_, _ = io.Copy(io.Discard, os.Stdin) // until its end
			os.Exit(0)
		case "read":
			read(os.Args[2])
		case "where":
			where()
		}
	}
	goleak.VerifyTestMain(m)
}

// hog takes and touches so many MiB.
func hog(mib string) {
	debug.SetGCPercent(-1)
	n, _ := strconv.Atoi(mib)
	var kept [][]byte
	for range n {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	fmt.Println("took", len(kept))
	os.Exit(0)
}

// spin keeps one processor busy for so long and tells how much time it got, in
// milliseconds. What starting took is not counted: that was before the limits.
func spin(d string) {
	wall, _ := time.ParseDuration(d)
	before := used()
	for end := time.Now().Add(wall); time.Now().Before(end); {
	}
	fmt.Println((used() - before).Milliseconds())
	os.Exit(0)
}

func used() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func read(path string) {
	f, err := os.Open(path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_ = f.Close()
	os.Exit(0)
}

// where prints what the process was given.
func where() {
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	score, _ := os.ReadFile("/proc/self/oom_score_adj")
	fmt.Printf("%d %d %s %s\n", set.Count(), runtime.NumCPU(), os.Getenv("CUDA_VISIBLE_DEVICES"), score)
	os.Exit(0)
}

func runner(t *testing.T) limits.CommandRunner {
	return func(ctx context.Context, argv ...string) (string, error) {
		out, err := limits.RunCommand(ctx, argv...)
		t.Logf("%q: %v", argv, err)
		return out, err
	}
}

// waiting is a program that waits for its limits.
type waiting struct {
	cmd *exec.Cmd
	out *os.File // what it writes
	let *os.File
}

func startWaiting(t *testing.T, env []string, argv ...string) *waiting {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	gate, let, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ready, hello, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := &waiting{exec.Command("/proc/self/exe", append([]string{"enter"}, argv...)...), out, let}
	w.cmd.Stdout, w.cmd.Stderr, w.cmd.ExtraFiles, w.cmd.Env = out, out, []*os.File{gate, hello}, append(os.Environ(), env...)
	if err := errors.Join(w.cmd.Start(), gate.Close(), hello.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := ready.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

// placement is the process with limits.
func (w *waiting) placement(unit string, l events.Limits) limits.Placement {
	return limits.Placement{Unit: unit, PID: w.cmd.Process.Pid, UID: os.Getuid(), Limits: l}
}

// finish lets the program start, or not, and returns its exit code and output.
func (w *waiting) finish(t *testing.T, start bool) (int, string) {
	t.Helper()
	var err error
	if start {
		_, err = w.let.Write([]byte{1})
	}
	if err := errors.Join(err, w.let.Close()); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := w.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(w.out.Name())
	if err := errors.Join(err, w.out.Close()); err != nil {
		t.Fatal(err)
	}
	if s := w.cmd.ProcessState.Sys().(syscall.WaitStatus); s.Signaled() {
		return 128 + int(s.Signal()), string(text)
	}
	return w.cmd.ProcessState.ExitCode(), string(text)
}

func noNote(string, []events.LimitEffect) error { return nil }
