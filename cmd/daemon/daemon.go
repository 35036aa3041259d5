// Package daemon is the one process that owns the state directory: broker,
// workers and read models behind a door.
//
// It promises: one daemon for a state directory; it is ready when its door
// answers; it leaves when nobody has needed it for a while and nothing runs, and
// when it is asked to, after the transaction that is running has ended. It never
// kills apt.
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

// takeoverTimeout is how long a new daemon waits for one that is leaving.
const takeoverTimeout = 5 * time.Second

// Run is the daemon's life. It calls ready once: with nil when the door answers,
// or with why it cannot. Cancelling ctx lets it leave in order.
func Run(ctx context.Context, s config.Settings, build string, logger *slog.Logger, ready func(error)) error {
	in, err := assembleWithRetry(ctx, s, build, logger)
	if err != nil {
		ready(err)
		return err
	}
	defer in.Close()
	l, err := listen(s)
	if err != nil {
		ready(err)
		return err
	}
	d := api.New(in, build, os.Getpid(), s.UID, logger)
	logger.Info("daemon is up", "state", s.StateDir, "socket", s.Socket, "build", build)
	ready(nil)
	if err := systemd.Notify(os.Getenv, "READY=1"); err != nil {
		logger.Warn("systemd does not know that the daemon is ready", "error", err)
	}

	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	open, closeDoor := context.WithCancel(context.WithoutCancel(ctx))
	defer closeDoor()
	var g errgroup.Group
	g.Go(func() error {
		defer in.Stop() // what cannot work must not seem to
		return in.Run(work)
	})
	g.Go(func() error {
		defer in.Stop()
		return d.Serve(open, l)
	})
	g.Go(func() error {
		awaitShutdown(ctx, s, d, in, logger)
		in.drain()
		closeDoor()
		stopWork()
		return nil
	})
	err = g.Wait()
	logger.Info("daemon leaves", "error", err)
	return err
}

// assembleWithRetry opens the inside, waiting a moment for another daemon to leave.
func assembleWithRetry(ctx context.Context, s config.Settings, build string, logger *slog.Logger) (*server, error) {
	deadline := time.Now().Add(takeoverTimeout)
	for {
		in, err := assemble(ctx, s, build, logger)
		if !errors.Is(err, events.ErrConflict) || time.Now().After(deadline) {
			return in, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// listen takes the socket from systemd or opens it. The caller owns the store, so
// a socket that is there already belongs to no other daemon: it is a dead one's, or
// systemd's, which must stay. It is made for its owner alone and opened to others
// afterwards, never the other way round.
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
		return nil, &events.Error{Op: "daemon.listen", Kind: events.ErrUsage, Subject: s.Socket, Err: errors.New("systemd listens there and starts the daemon itself"), Hint: "'systemctl stop cortexd.socket' first, or run the command without --embedded"}
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

// awaitShutdown returns when the daemon should leave: told to, or idle for long.
func awaitShutdown(ctx context.Context, s config.Settings, d *api.SocketServer, in *server, logger *slog.Logger) {
	var idle <-chan time.Time
	tick := time.NewTicker(max(10*time.Millisecond, s.IdleTimeout/4+time.Millisecond))
	defer tick.Stop()
	for {
		if s.IdleTimeout > 0 && d.ConnectionCount() == 0 && !in.Busy() {
			if idle == nil {
				idle = time.After(s.IdleTimeout)
			}
		} else {
			idle = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-in.stopped:
			return
		case <-idle:
			if d.ConnectionCount() == 0 && !in.Busy() {
				logger.Info("nobody needs the daemon", "for", s.IdleTimeout)
				return
			}
			idle = nil
		case <-d.ConnectionChanges():
			idle = nil
		case <-tick.C: // look again whether it is busy
		}
	}
}
