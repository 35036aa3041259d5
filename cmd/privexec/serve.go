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

// Serve starts programs for clients on l. It returns when ctx is done, or when no program
// has run for the time idle. It closes l; running programs continue.
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
		if ctx.Err() != nil { // ctx may have ended before the deadline was set
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
					logger.Warn("program start or exit report failed", "error", err)
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

// activity counts running programs and has the time of the last change.
type activity struct {
	mu         sync.Mutex
	running    int
	lastChange time.Time
}

func newActivity() *activity { return &activity{lastChange: time.Now()} }

func (a *activity) begin() { a.add(1) }
func (a *activity) end()   { a.add(-1) }

func (a *activity) add(by int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running += by
	a.lastChange = time.Now()
}

func (a *activity) idleFor(d time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.running == 0 && time.Since(a.lastChange) >= d
}

// serveConn starts the program of one connection and waits for its end.
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
		return errors.New("the request has no descriptors for standard output and standard error")
	}
	cmd := &exec.Cmd{
		Path: r.Path, Args: r.Args, Env: r.Env, Dir: r.Dir,
		Stdout: files[0], Stderr: files[1], ExtraFiles: files[2:],
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = cmd.Start()
	closeAll(files) // only the program may hold its descriptors
	if err != nil {
		return send(c, reply{Error: err.Error()})
	}
	sendErr := send(c, reply{PID: cmd.Process.Pid})
	go func() {
		var message string
		for {
			if _, err := receive(c, &message); err != nil {
				return // the client closed the connection
			}
			if message == killMessage {
				_ = cmd.Process.Kill()
			}
		}
	}()
	end := reply{Ended: true}
	if err := cmd.Wait(); err != nil {
		end.Code, end.Status = cmd.ProcessState.ExitCode(), err.Error()
	}
	return errors.Join(sendErr, send(c, end))
}

// checkPeer refuses clients of another user than that of this process, which is root outside
// of tests.
func checkPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return credErr
	}
	if int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not start programs in this worker", cred.Uid)
	}
	return nil
}
