package privexec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Serve starts what root asks for on l, until ctx is done or nothing was asked and
// nothing has run for the time idle. It closes l, and leaves what runs alone.
func Serve(ctx context.Context, l *net.UnixListener, idle time.Duration, logger *slog.Logger) error {
	var busy sync.WaitGroup
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { l.SetDeadline(time.Now()) })
	defer stop()
	last := newActivity()
	for {
		if err := l.SetDeadline(time.Now().Add(idle)); err != nil {
			return err
		}
		if ctx.Err() != nil { // before the deadline was set: it would not be seen
			return nil
		}
		c, err := l.AcceptUnix()
		var timeout net.Error
		switch {
		case err == nil:
			last.begin()
			busy.Go(func() {
				defer last.end()
				defer c.Close()
				if err := serveConn(c); err != nil {
					logger.Warn("a program was not started, or nobody was told of its end", "error", err)
				}
			})
		case errors.As(err, &timeout) && timeout.Timeout():
			if last.idleFor(idle) && ctx.Err() == nil {
				return nil
			}
		default:
			return fmt.Errorf("accept: %w", err)
		}
	}
}

// activity is when something ran.
type activity struct {
	mu         sync.Mutex
	running    int
	lastChange time.Time
}

func newActivity() *activity { return &activity{lastChange: time.Now()} }

func (l *activity) begin() { l.add(1) }
func (l *activity) end()   { l.add(-1) }

func (l *activity) add(by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running += by
	l.lastChange = time.Now()
}

func (l *activity) idleFor(d time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running == 0 && time.Since(l.lastChange) >= d
}

// serveConn starts one program and waits for its end.
func serveConn(c *net.UnixConn) error {
	if err := checkPeer(c); err != nil {
		return err
	}
	var r request
	files, err := receive(c, &r)
	if err != nil {
		return err
	}
	if len(files) < 2 {
		closeAll(files)
		return errors.New("a program needs somewhere to write")
	}
	cmd := &exec.Cmd{
		Path: r.Path, Args: r.Args, Env: r.Env, Dir: r.Dir,
		Stdout: files[0], Stderr: files[1], ExtraFiles: files[2:],
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = cmd.Start()
	closeAll(files) // what it reads from and writes to must end with it
	if err != nil {
		return send(c, reply{Error: err.Error()})
	}
	told := send(c, reply{PID: cmd.Process.Pid})
	go func() {
		var word string
		for {
			if _, err := receive(c, &word); err != nil {
				return // who asked is gone, or has nothing more to say
			}
			if word == killMessage {
				_ = cmd.Process.Kill()
			}
		}
	}()
	end := reply{Ended: true}
	if err := cmd.Wait(); err != nil {
		end.Code, end.Status = cmd.ProcessState.ExitCode(), err.Error()
	}
	return errors.Join(told, send(c, end))
}

// checkPeer refuses everybody but the user this process runs as: root, but in tests.
func checkPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if failed != nil {
		return failed
	}
	if int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not run anything here", cred.Uid)
	}
	return nil
}
