package privexec

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"cortex/consumers/machine/apt"
)

// NewStarter starts programs through the worker at a socket.
func NewStarter(socket string) apt.StartFunc {
	return func(cmd *exec.Cmd) (apt.Child, error) {
		if cmd.SysProcAttr != nil && cmd.SysProcAttr.Chroot != "" || cmd.Stdin != nil {
			return nil, errors.New("a worker neither changes the root nor passes on input")
		}
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: socket, Net: "unixpacket"})
		if err != nil {
			return nil, fmt.Errorf("reach the worker: %w", err)
		}
		child := &remoteChild{conn: c}
		if err := child.start(cmd); err != nil {
			c.Close()
			child.copying.Wait()
			return nil, fmt.Errorf("have the worker start it: %w", err)
		}
		return child, nil
	}
}

// remoteChild is a program that a worker runs.
type remoteChild struct {
	conn    *net.UnixConn
	pid     int
	copying sync.WaitGroup // what it writes, where that is no file
}

var _ apt.Child = (*remoteChild)(nil)

func (r *remoteChild) start(cmd *exec.Cmd) error {
	var opened []*os.File // ours to close
	defer func() { closeAll(opened) }()
	out, err := r.outputFile(cmd.Stdout, &opened)
	if err != nil {
		return err
	}
	errs := out
	if cmd.Stderr != cmd.Stdout {
		if errs, err = r.outputFile(cmd.Stderr, &opened); err != nil {
			return err
		}
	}
	files := append([]*os.File{out, errs}, cmd.ExtraFiles...)
	if err := send(r.conn, request{Path: cmd.Path, Args: cmd.Args, Env: cmd.Env, Dir: cmd.Dir}, files...); err != nil {
		return err
	}
	var a reply
	if _, err := receive(r.conn, &a); err != nil {
		return err
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	r.pid = a.PID
	return nil
}

// outputFile gives what a program writes to as a file: itself, a pipe that is copied from,
// or nothing.
func (r *remoteChild) outputFile(w io.Writer, opened *[]*os.File) (*os.File, error) {
	if f, ok := w.(*os.File); ok {
		return f, nil
	}
	if w == nil {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		*opened = append(*opened, null)
		return null, err
	}
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	*opened = append(*opened, to)
	r.copying.Go(func() {
		defer from.Close()
		_, _ = io.Copy(w, from)
	})
	return to, nil
}

// PID is the program's process.
func (r *remoteChild) PID() int { return r.pid }

// Kill has it killed.
func (r *remoteChild) Kill() { _ = send(r.conn, killMessage) }

// exitPollInterval is how often a program is looked at whose worker died.
const exitPollInterval = 100 * time.Millisecond

// Wait waits for its end. A program whose worker dies goes on; then it is waited for
// all the same, and how it ended is not known.
func (r *remoteChild) Wait() error {
	defer r.conn.Close()
	var end reply
	if _, err := receive(r.conn, &end); err != nil {
		for syscall.Kill(r.pid, 0) == nil {
			time.Sleep(exitPollInterval)
		}
		end = reply{Code: -1, Status: "the worker died, and how the program ended is not known"}
	}
	r.copying.Wait()
	if end.Status != "" {
		return &exitError{end.Code, end.Status}
	}
	return nil
}

// exitError is the end of a program that failed.
type exitError struct {
	code   int
	status string
}

func (e *exitError) Error() string { return e.status }

// ExitCode is its exit status, or -1 when a signal ended it.
func (e *exitError) ExitCode() int { return e.code }
