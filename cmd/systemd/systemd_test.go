package systemd_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cortex/cmd/systemd"
	"cortex/events"
)

// TestMain runs the test binary as the child of a test, because passed descriptors belong to
// a whole process.
func TestMain(m *testing.M) {
	if os.Getenv("CORTEX_TEST_PASSED") != "" {
		os.Exit(serveOne())
	}
	os.Exit(m.Run())
}

// serveOne serves one connection on the passed socket.
func serveOne() int {
	env := func(name string) string {
		if name == "LISTEN_PID" {
			return fmt.Sprint(os.Getpid())
		}
		return os.Getenv(name)
	}
	l, err := systemd.Listener(env, os.Getpid())
	if err != nil || l == nil {
		fmt.Fprintln(os.Stderr, "no socket was passed:", err)
		return 1
	}
	c, err := l.Accept()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprint(c, "hello")
	c.Close()
	l.Close()
	return 0
}

func TestListenerServesAndKeepsPassedSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), "CORTEX_TEST_PASSED=1", "LISTEN_FDS=1")
	child.ExtraFiles, child.Stderr = []*os.File{f}, os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 16)
	n, _ := c.Read(buf)
	if got := string(buf[:n]); got != "hello" {
		t.Errorf("the child wrote %q", got)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the child removed the socket: %v", err)
	}
}

func TestListenerIgnoresSocketsOfOtherProcesses(t *testing.T) {
	env := map[string]string{"LISTEN_PID": "1", "LISTEN_FDS": "1"}
	if l, err := systemd.Listener(func(n string) string { return env[n] }, 2); l != nil || err != nil {
		t.Errorf("%v, %v", l, err)
	}
	env["LISTEN_FDS"] = "2"
	if l, err := systemd.Listener(func(n string) string { return env[n] }, 1); l != nil || events.KindOf(err) != events.ErrUnavailable {
		t.Errorf("two sockets: %v, %v", l, err)
	}
}

func TestNotifySendsState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := systemd.Notify(func(string) string { return path }, "READY=1"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := l.Read(buf)
	if got := string(buf[:n]); err != nil || !strings.HasPrefix(got, "READY=1") {
		t.Errorf("%q, %v", got, err)
	}
	if err := systemd.Notify(func(string) string { return "" }, "READY=1"); err != nil {
		t.Errorf("without systemd: %v", err)
	}
}
