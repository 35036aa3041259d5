package main_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"cortex/events"
)

// screen is a command on a pseudo-terminal.
type screen struct {
	m    *machine
	cmd  *exec.Cmd
	file *os.File
	done chan struct{}

	mu  sync.Mutex
	all bytes.Buffer
}

func (m *machine) onTerminal(args ...string) *screen {
	m.t.Helper()
	cmd := m.Command(append([]string{"/usr/bin/cortex"}, args...)...)
	cmd.Env = append(cmd.Env, "TERM=xterm")
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 60})
	if err != nil {
		m.t.Fatal(err)
	}
	s := &screen{m: m, cmd: cmd, file: f, done: make(chan struct{})}
	m.t.Cleanup(func() { f.Close() })
	go func() {
		defer close(s.done)
		buf := make([]byte, 4096)
		for {
			n, err := f.Read(buf)
			s.mu.Lock()
			s.all.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EIO) { // EIO: the other end is closed
					m.t.Errorf("terminal: %v", err)
				}
				return
			}
		}
	}()
	return s
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

func (s *screen) expect(what string) {
	s.m.t.Helper()
	s.m.until(what+" on the screen", func() bool { return strings.Contains(s.text(), what) })
}

func (s *screen) typed(keys string) {
	s.m.t.Helper()
	if _, err := s.file.WriteString(keys); err != nil {
		s.m.t.Fatal(err)
	}
}

func (s *screen) exit() int {
	<-s.done
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode()
}

func TestTerminalAsksForApproval(t *testing.T) {
	for name, tc := range map[string]struct {
		keys  string
		code  int
		state events.TransactionState
	}{
		"yes":            {"y\n", 0, events.StateSucceeded},
		"just enter":     {"\n", 0, events.StateSucceeded},
		"no":             {"n\n", 3, events.StateCancelled},
		"something else": {"what?\n", 3, events.StateCancelled},
		"Ctrl-C":         {"\x03", 130, events.StateCancelled},
		"Ctrl-D":         {"\x04", 3, events.StateCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			m := setup(t)
			s := m.onTerminal("install", "cowsay")
			s.expect("Go ahead? [Y/n]")
			s.typed(tc.keys)
			if code := s.exit(); code != tc.code {
				t.Errorf("exit %d, want %d:\n%s", code, tc.code, s.text())
			}
			m.until("the end", func() bool { return m.show("last").State.Ended() })
			if got := m.show("last"); got.State != tc.state {
				t.Errorf("the state is %s, want %s", got.State, tc.state)
			}
		})
	}
}

func TestTerminalDefaultIsNoForRemovals(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "cowsay", "--yes")
	s := m.onTerminal("remove", "cowsay")
	s.expect("Go ahead? [y/N]")
	s.typed("\n")
	if code := s.exit(); code != 3 {
		t.Errorf("exit %d", code)
	}
}

// The user may still be typing for another program when the question appears.
func TestTerminalDiscardsInputBeforeTheQuestion(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "cowsay", "--yes")
	s := m.onTerminal("remove", "cowsay")
	s.typed("y\n")
	s.expect("Go ahead? [y/N]")
	s.typed("n\n")
	if code := s.exit(); code != 3 {
		t.Errorf("exit %d:\n%s", code, s.text())
	}
}

func TestTerminalCtrlCStopsOnlyWatching(t *testing.T) {
	m := setup(t)
	t.Cleanup(func() { m.WriteFile(t, "/run/toy-slow.go", "") })
	s := m.onTerminal("install", "toy-slow", "--yes")
	m.until("the slow package", func() bool { return m.Exists("/run/toy-slow.waiting") })
	s.expect("\r\x1b[K[") // the progress line
	s.typed("\x03")
	s.expect("Stop watching? [Y/n]")
	s.typed("n\n")
	s.expect("[Y/n] n\r\n\r\x1b[K[") // it continues to watch, and shows the line again
	s.typed("\x03")
	m.until("asked again", func() bool { return strings.Count(s.text(), "Stop watching?") == 2 })
	s.typed("\x03")
	if code := s.exit(); code != 130 || !strings.Contains(s.text(), "continues in the background") || !strings.Contains(s.text(), "cortex attach 1") {
		t.Errorf("exit %d:\n%s", code, s.text())
	}
	back := m.onTerminal("attach")
	back.expect("[")
	m.WriteFile(t, "/run/toy-slow.go", "")
	if code := back.exit(); code != 0 || !strings.Contains(back.text(), "Done: transaction 1") {
		t.Errorf("attach: exit %d:\n%s", code, back.text())
	}
	if got := m.show("last"); got.State != events.StateSucceeded {
		t.Errorf("the state is %s", got.State)
	}
}

func TestTerminalOffersHoldAfterUndoneUpgrade(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-app=1.0", "toy-lib=1.0", "--yes")
	m.must(0, "upgrade", "toy-app", "--yes")
	s := m.onTerminal("undo")
	s.expect("Go ahead?")
	s.typed("y\n")
	s.expect("Hold? [y/N]")
	s.typed("y\n")
	if code := s.exit(); code != 0 {
		t.Fatalf("exit %d\n%s", code, s.text())
	}
	if got := m.PackageStates(t)["toy-app:amd64"]; !strings.HasPrefix(got, "hold ") || !strings.Contains(got, "1.0") {
		t.Errorf("toy-app is %q", got)
	}
}
