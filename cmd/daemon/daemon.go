// Package daemon runs the process that owns the state directory: the log, the consumers,
// the read models and the API server.
//
// It promises: a state directory has at most one daemon; a ready daemon answers on its
// socket; an idle daemon stops after the idle timeout; a stop request
// takes effect after the running transaction. It never kills apt.
package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"cortex/cmd/api"
	"cortex/cmd/config"
	"cortex/cmd/systemd"
	"cortex/events"
)

// takeoverTimeout is how long a new daemon waits for another one to stop.
const takeoverTimeout = 5 * time.Second

// Run runs the daemon until it stops. It calls ready once: with nil when the socket
// answers, or with the reason why the daemon does not start. Cancelling ctx stops the
// daemon after the running transaction.
func Run(ctx context.Context, s config.Settings, build string, logger *slog.Logger, ready func(error)) error {
	srv, err := assembleWithRetry(ctx, s, build, logger)
	if err != nil {
		ready(err)
		return err
	}
	defer srv.Close()
	l, err := listen(s)
	if err != nil {
		ready(err)
		return err
	}
	d := api.New(srv, build, os.Getpid(), s.UID, logger)
	logger.Info("daemon started", "state", s.StateDir, "socket", s.Socket, "build", build)
	ready(nil)
	if err := systemd.Notify(os.Getenv, "READY=1"); err != nil {
		logger.Warn("systemd readiness notification failed", "error", err)
	}

	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	var g errgroup.Group
	g.Go(func() error {
		defer srv.Stop() // stop the whole daemon if one part ends
		return srv.Run(work)
	})
	g.Go(func() error {
		defer srv.Stop()
		return d.Serve(serving, l)
	})
	g.Go(func() error {
		awaitShutdown(ctx, s, d, srv, logger)
		srv.drain()
		stopServing()
		stopWork()
		return nil
	})
	err = g.Wait()
	logger.Info("daemon stopped", "error", err)
	return err
}

// assembleWithRetry assembles the server. It waits a moment for another daemon to stop.
func assembleWithRetry(ctx context.Context, s config.Settings, build string, logger *slog.Logger) (*server, error) {
	deadline := time.Now().Add(takeoverTimeout)
	for {
		srv, err := assemble(ctx, s, build, logger)
		if !errors.Is(err, events.ErrConflict) || time.Now().After(deadline) {
			return srv, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// listen returns the socket that systemd passed, or creates one. The caller owns the store,
// so an existing socket does not belong to a running daemon: it is a leftover, which
// listen removes, or systemd's, which it must keep. A new socket is first accessible to its
// owner only, so that no other user connects before its mode is set.
func listen(s config.Settings) (net.Listener, error) {
	fail := func(err error) (net.Listener, error) {
		return nil, &events.Error{Op: "daemon.listen", Kind: events.ErrUnavailable, Subject: s.Socket, Err: err}
	}
	if l, err := systemd.Listener(os.Getenv, os.Getpid()); err != nil {
		return nil, err
	} else if l != nil {
		return l, nil
	}
	if c, err := net.Dial("unix", s.Socket); err == nil {
		c.Close()
		return nil, &events.Error{Op: "daemon.listen", Kind: events.ErrUsage, Subject: s.Socket, Err: errors.New("systemd listens on this socket and starts the daemon itself"), Hint: "run 'systemctl stop cortexd.socket' first, or run the command without --embedded"}
	}
	dirMode, mode := os.FileMode(0o700), os.FileMode(0o600)
	if s.IsSystem() {
		dirMode, mode = 0o755, 0o666
	}
	if err := os.MkdirAll(filepath.Dir(s.Socket), dirMode); err != nil {
		return fail(err)
	}
	if err := os.Remove(s.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fail(err)
	}
	old := syscall.Umask(0o177)
	l, err := net.Listen("unix", s.Socket)
	syscall.Umask(old)
	if err != nil {
		return fail(err)
	}
	if err := os.Chmod(s.Socket, mode); err != nil {
		l.Close()
		return fail(err)
	}
	return l, nil
}

// awaitShutdown returns when the daemon must stop: on request, or after the idle timeout.
func awaitShutdown(ctx context.Context, s config.Settings, d *api.SocketServer, srv *server, logger *slog.Logger) {
	var idle <-chan time.Time
	tick := time.NewTicker(max(10*time.Millisecond, s.IdleTimeout/4+time.Millisecond))
	defer tick.Stop()
	for {
		if s.IdleTimeout > 0 && d.ConnectionCount() == 0 && !srv.Busy() {
			if idle == nil {
				idle = time.After(s.IdleTimeout)
			}
		} else {
			idle = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-srv.stopped:
			return
		case <-idle:
			if d.ConnectionCount() == 0 && !srv.Busy() {
				logger.Info("daemon idle, stopping", "idle", s.IdleTimeout)
				return
			}
			idle = nil
		case <-d.ConnectionChanges():
			idle = nil
		case <-tick.C: // check again whether the daemon is busy
		}
	}
}
