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

// EnsureRunning returns once a daemon answers, starting one if need be: ask; if nobody
// answers take the start lock, ask again, and only then start. Many commands at
// once thus start one daemon. Where somebody listens who does not answer (a daemon
// that was stopped, or has no time), it waits for half a minute, says so through
// Silent, and never starts a second one beside it.
func (c *Client) EnsureRunning(ctx context.Context) (api.Ping, error) {
	deadline := time.Now().Add(answerTimeout)
	told := false
	for {
		p, err := c.Ping(ctx)
		silent := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
		if silent && !told && c.OnUnresponsive != nil {
			told = true
			c.OnUnresponsive(answerTimeout)
		}
		if err == nil && p.Protocol == api.ProtocolVersion {
			return p, nil
		}
		if err != nil && !errors.Is(err, events.ErrUnavailable) || c.start == nil || ctx.Err() != nil {
			return p, err
		}
		if silent && time.Now().Before(deadline) {
			continue // somebody listens: systemd, whose daemon is about to be ready
		}
		if err == nil { // another version: it leaves when it has nothing to do
			if err := c.Stop(ctx); err != nil {
				return p, err
			}
		}
		err = c.startOnce(ctx)
		if silent && errors.Is(err, events.ErrConflict) {
			return p, &events.Error{
				Op: "client.Ensure", Kind: events.ErrUnavailable, Subject: "daemon", Err: fmt.Errorf("it is there and does not answer: %w", err),
				Hint: "was it stopped ('kill -CONT' lets it go on), or is the machine very busy? see " + c.settings.LogFile(),
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

// isRetryable: somebody else may own the store for a moment, and a daemon that was
// killed while it started may start the next time. One that says why it does not start
// would say so again.
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
		return nil // somebody was faster
	}
	return c.start(ctx)
}

// acquireStartLock takes the lock that only one starter holds.
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

// CreateStateDir creates the state directory: readable by all where it is the
// system's, so that history can be read without rights.
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
		e.Hint = "make that disk writable; nothing was changed, and 'cortex history' works as it is"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Kind, e.Hint = events.ErrFull, "make room on that disk; nothing was changed"
	}
	return e
}

// NewDaemonStarter starts this program as a daemon in a session of its own and waits until
// it says that it is ready, or why not.
func NewDaemonStarter(s config.Settings) DaemonStarter {
	return func(ctx context.Context) error {
		exe, err := os.Readlink("/proc/self/exe")
		if err != nil {
			return fmt.Errorf("find this program: %w", err)
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
		go func() { _ = cmd.Wait() }() // it outlives us, or its end is told by the pipe
		return awaitReady(ctx, r, s)
	}
}
