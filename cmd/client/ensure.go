package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"cortex/cmd/api"
	"cortex/cmd/config"
	"cortex/cmd/logs"
	"cortex/events"
)

var errPermission = fs.ErrPermission

// EnsureRunning returns when a daemon answers, and starts one if necessary. It pings; if no
// daemon answers it takes the start lock, pings again, and only then starts one. Concurrent
// commands thus start one daemon. If a process holds the socket but does not answer (a
// suspended or overloaded daemon), EnsureRunning calls OnUnresponsive, waits for half a
// minute, and never starts a second daemon.
func (c *Client) EnsureRunning(ctx context.Context) (api.Ping, error) {
	deadline := time.Now().Add(answerTimeout)
	reported := false
	for {
		p, err := c.Ping(ctx)
		silent := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
		if silent && !reported && c.OnUnresponsive != nil {
			reported = true
			c.OnUnresponsive(answerTimeout)
		}
		if err == nil && p.Protocol == api.ProtocolVersion {
			return p, nil
		}
		if err != nil && !errors.Is(err, events.ErrUnavailable) || c.start == nil || ctx.Err() != nil {
			return p, err
		}
		if silent && time.Now().Before(deadline) {
			continue // systemd holds the socket, and its daemon is about to be ready
		}
		if err == nil { // another version: it stops when its transaction has ended
			if err := c.Stop(ctx); err != nil {
				return p, err
			}
		}
		err = c.startOnce(ctx)
		if silent && errors.Is(err, events.ErrConflict) {
			return p, &events.Error{
				Op: "client.EnsureRunning", Kind: events.ErrUnavailable, Subject: "daemon", Err: fmt.Errorf("the daemon runs but does not answer: %w", err),
				Hint: "the process may be suspended ('kill -CONT' resumes it) or the machine overloaded; see " + c.settings.LogFile(),
			}
		}
		if err != nil && (!isRetryable(err) || time.Now().After(deadline)) {
			return p, err
		}
		if err := sleep(ctx, retryInterval); err != nil {
			return p, err
		}
	}
}

// isRetryable reports whether another start can succeed: another process held the store
// for a moment, or the daemon was killed while it started. A daemon that reported why it
// does not start would fail again.
func isRetryable(err error) bool {
	return errors.Is(err, events.ErrConflict) || errors.Is(err, errExitedBeforeReady)
}

func (c *Client) startOnce(ctx context.Context) error {
	unlock, err := acquireStartLock(ctx, c.settings)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := c.Ping(ctx); err == nil {
		return nil // another command started it
	}
	return c.start(ctx)
}

// acquireStartLock waits for the lock that serialises starts of a daemon.
func acquireStartLock(ctx context.Context, s config.Settings) (unlock func(), err error) {
	if err := CreateStateDir(s); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.StateDir, "start.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, stateError(s, err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, stateError(s, err)
		}
		if err := sleep(ctx, retryInterval); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// CreateStateDir creates the state directory. The system's is readable by all users, so
// that they can read the history.
func CreateStateDir(s config.Settings) error {
	mode := fs.FileMode(0o700)
	if s.IsSystem() {
		mode = 0o755
	}
	if err := os.MkdirAll(s.StateDir, mode); err != nil {
		return stateError(s, err)
	}
	return nil
}

func stateError(s config.Settings, err error) error {
	e := &events.Error{Op: "client.state", Kind: events.ErrUnavailable, Subject: s.StateDir, Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Hint = events.ErrConfirmation, "run the command with sudo"
	case errors.Is(err, syscall.EROFS):
		e.Hint = "remount the file system read-write; nothing was changed, and 'cortex history' still works"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Kind, e.Hint = events.ErrFull, "make room on that disk; nothing was changed"
	}
	return e
}

// NewDaemonStarter returns a starter that runs this executable as a daemon in a new session
// and waits until it reports that it is ready, or why it does not start.
func NewDaemonStarter(s config.Settings) DaemonStarter {
	return func(ctx context.Context) error {
		exe, err := os.Readlink("/proc/self/exe")
		if err != nil {
			return fmt.Errorf("find this executable: %w", err)
		}
		if strings.HasSuffix(exe, " (deleted)") {
			exe = "/proc/self/exe"
		}
		r, w, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("make pipe: %w", err)
		}
		defer r.Close()
		log, err := logs.Open(s.LogFile())
		if err != nil {
			w.Close()
			return stateError(s, err)
		}
		defer log.Close()
		cmd := exec.Command(exe, "daemon", "run")
		cmd.Env = append(os.Environ(), ReadyFDEnv+"=3", "CORTEX_STATE_DIR="+s.StateDir, "CORTEX_SOCKET="+s.Socket)
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.Dir = log, log, []*os.File{w}, "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		err = cmd.Start()
		w.Close()
		if err != nil {
			return fmt.Errorf("start daemon: %w", err)
		}
		go func() { _ = cmd.Wait() }() // the daemon outlives this process, or the pipe reports its end
		return awaitReady(ctx, r, s)
	}
}
