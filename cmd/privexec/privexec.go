// Package privexec starts programs that change the machine in a separate process, the
// worker. Under systemd the daemon's unit restricts the paths that it may write, and its
// children would inherit the restriction.
//
// A connection starts one program: the client sends a request with the file descriptors to
// inherit; the worker replies with the process id, and later with the exit status.
//
// It promises: the program gets the same arguments, environment, directory and descriptors
// as a child of the client; it continues if the client or the worker dies; the worker
// serves only clients of its own user, which is root outside of tests. The worker does not
// check which program a client starts.
package privexec

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Limits of one message.
const (
	maxMessage = 256 << 10 // bytes
	maxFiles   = 16
)

// request is a program to start. The message carries the descriptors of its standard output
// and standard error, and the descriptors from number 3.
type request struct {
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
}

// reply is the first reply, with the process id or an error, or the second one, with the
// exit status.
type reply struct {
	PID    int    `json:"pid,omitempty"`
	Error  string `json:"error,omitempty"`
	Ended  bool   `json:"ended,omitempty"`
	Code   int    `json:"code,omitempty"`   // exit status; -1 if a signal ended it
	Status string `json:"status,omitempty"` // description of a failure
}

// killMessage is the client's message that kills the program.
const killMessage = "kill"

// send sends one message with file descriptors.
func send(c *net.UnixConn, v any, files ...*os.File) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxMessage || len(files) > maxFiles {
		return fmt.Errorf("message too long: %d bytes, %d descriptors", len(b), len(files))
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	_, _, err = c.WriteMsgUnix(b, rights, nil)
	return err
}

// receive receives one message and its file descriptors.
func receive(c *net.UnixConn, into any) ([]*os.File, error) {
	b, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, flags, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return nil, err
	}
	files, err := receivedFiles(oob[:oobn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("message too long")
	}
	if err == nil {
		err = json.Unmarshal(b[:n], into)
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	return files, nil
}

func receivedFiles(oob []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
