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

// NewStarter returns a function that starts programs in the worker at a socket.
func NewStarter(socket string) apt.StartFunc {
	return func(cmd *exec.Cmd) (apt.Child, error) {
		if cmd.SysProcAttr != nil && cmd.SysProcAttr.Chroot != "" || cmd.Stdin != nil {
			return nil, errors.New("the worker supports neither a root directory nor standard input")
		}
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: socket, Net: "unixpacket"})
		if err != nil {
			return nil, fmt.Errorf("connect to the worker: %w", err)
		}
		child := &remoteChild{conn: c}
		if err := child.start(cmd); err != nil {
			c.Close()
			child.copying.Wait()
			return nil, fmt.Errorf("start the program in the worker: %w", err)
		}
		return child, nil
	}
}

// remoteChild is a program that the worker runs.
type remoteChild struct {
	conn    *net.UnixConn
	pid     int
	copying sync.WaitGroup // copies of output to writers that are not files
}

var _ apt.Child = (*remoteChild)(nil)

func (r *remoteChild) start(cmd *exec.Cmd) error {
	var opened []*os.File // to close after the start
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

// outputFile returns a file for the output of a program: w itself if it is a file, a pipe
// that is copied to w, or /dev/null for nil.
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

// PID returns the process id of the program.
func (r *remoteChild) PID() int { return r.pid }

// Kill asks the worker to kill the program.
func (r *remoteChild) Kill() { _ = send(r.conn, killMessage) }

// exitPollInterval is the interval of checks for the end of a program whose worker died.
const exitPollInterval = 100 * time.Millisecond

// Wait waits for the end of the program. If the worker dies, the program continues: Wait
// still waits for its end, and returns an error because the exit status is unknown.
func (r *remoteChild) Wait() error {
	defer r.conn.Close()
	var end reply
	if _, err := receive(r.conn, &end); err != nil {
		for syscall.Kill(r.pid, 0) == nil {
			time.Sleep(exitPollInterval)
		}
		end = reply{Code: -1, Status: "the worker died; the exit status of the program is unknown"}
	}
	r.copying.Wait()
	if end.Status != "" {
		return &exitError{end.Code, end.Status}
	}
	return nil
}

// exitError is the exit status of a failed program.
type exitError struct {
	code   int
	status string
}

func (e *exitError) Error() string { return e.status }

// ExitCode returns the exit status, or -1 if a signal ended the program.
func (e *exitError) ExitCode() int { return e.code }
