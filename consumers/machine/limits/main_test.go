package limits_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"cortex/consumers/machine/limits"
)

// TestMain is also the programs that are limited.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "enter":
			fmt.Fprintln(os.Stderr, limits.ApplyAndExec(os.Args[2:]))
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

// hierarchies tells what the process was given.
func where() {
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	score, _ := os.ReadFile("/proc/self/oom_score_adj")
	fmt.Printf("%d %d %s %s\n", set.Count(), runtime.NumCPU(), os.Getenv("CUDA_VISIBLE_DEVICES"), score)
	os.Exit(0)
}

func runner(t *testing.T) limits.CommandRunner {
	return func(_ context.Context, argv ...string) (string, error) {
		out, err := exec.Command(argv[0], argv[1:]...).Output()
		t.Logf("%q: %v", argv, err)
		return string(out), err
	}
}
