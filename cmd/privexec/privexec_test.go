package privexec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/cmd/privexec"
	"cortex/consumers/machine/apt"
)

// TestMain is a worker where the environment says so, which can be killed, and a job of one.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "worker" {
		if runJob(os.Args[3]) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv("CORTEX_TEST_WORKER"); path != "" {
		l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err == nil {
			fmt.Println("ready")
			err = privexec.Serve(context.Background(), l, time.Minute, slog.New(slog.DiscardHandler))
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// setup gives what starts programs through a worker, and ends that worker.
func setup(t *testing.T) (start apt.StartFunc, stop func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "w.sock")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- privexec.Serve(ctx, l, time.Minute, slog.New(slog.DiscardHandler)) }()
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		ended <- nil
	}
	t.Cleanup(stop)
	return privexec.NewStarter(path), stop
}

func shell(script string) *exec.Cmd {
	return &exec.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"A=b"}, Dir: "/tmp"}
}

func TestAProgramGetsWhatItWouldGetAsAChild(t *testing.T) {
	start, _ := setup(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := shell(`pwd; env | grep ^A=; echo no >&2; echo passed >&3; cat; exit 3`)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &out, &errs, []*os.File{w}
	child, err := start(cmd)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	err = child.Wait()
	var exit interface{ ExitCode() int }
	if !errors.As(err, &exit) || exit.ExitCode() != 3 || child.PID() == 0 {
		t.Errorf("ended with %v as process %d", err, child.PID())
	}
	if got := out.String(); got != "/tmp\nA=b\n" {
		t.Errorf("it wrote %q", got)
	}
	if got := errs.String(); got != "no\n" {
		t.Errorf("it complained %q", got)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != "passed\n" {
		t.Errorf("through the descriptor came %q, %v", b, err)
	}
}

func TestALockThatIsPassedOnIsHeldUntilTheProgramEnds(t *testing.T) {
	start, _ := setup(t)
	lock, err := os.Create(filepath.Join(t.TempDir(), "lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := shell("read x <&4") // until we let it end
	cmd.ExtraFiles = []*os.File{lock, r}
	child, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	lock.Close()
	r.Close()
	again, err := os.Open(lock.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := syscall.Flock(int(again.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("nobody holds the lock while the program runs: %v", err)
	}
	w.Close()
	_ = child.Wait()
	if err := syscall.Flock(int(again.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("somebody holds the lock after its end: %v", err)
	}
}

func TestAProgramThatIsKilledSaysSo(t *testing.T) {
	start, _ := setup(t)
	child, err := start(shell("exec sleep 600"))
	if err != nil {
		t.Fatal(err)
	}
	child.Kill()
	err = child.Wait()
	var exit interface{ ExitCode() int }
	if !errors.As(err, &exit) || exit.ExitCode() != -1 || !strings.Contains(err.Error(), "killed") {
		t.Errorf("%v", err)
	}
}

func TestWhatCannotBeStartedIsSaid(t *testing.T) {
	start, stop := setup(t)
	if _, err := start(&exec.Cmd{Path: filepath.Join(t.TempDir(), "none")}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("%v", err)
	}
	if _, err := start(&exec.Cmd{Path: "/bin/true", SysProcAttr: &syscall.SysProcAttr{Chroot: "/srv"}}); err == nil {
		t.Error("a root was left out without a word")
	}
	stop()
	if _, err := start(shell("true")); err == nil {
		t.Error("nobody runs it, and nobody says so")
	}
}

func TestAProgramWhoseWorkerDiesGoesOnAndIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.sock")
	w := exec.Command("/proc/self/exe")
	w.Env = append(os.Environ(), "CORTEX_TEST_WORKER="+path)
	out, err := w.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	r, release, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := filepath.Join(t.TempDir(), "done")
	cmd := shell("read x <&3; echo >" + done)
	cmd.ExtraFiles = []*os.File{r}
	child, err := privexec.NewStarter(path)(cmd)
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = w.Wait()
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("nobody waited for it: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	release.Close()
	err = <-ended
	var exit interface{ ExitCode() int }
	if !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Errorf("it ended with %v", err)
	}
	if _, err := os.Stat(done); err != nil {
		t.Errorf("it did not go on: %v", err)
	}
}

func TestAWorkerThatNobodyNeedsLeaves(t *testing.T) {
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "w.sock"), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	if err := privexec.Serve(t.Context(), l, time.Millisecond, slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
}
