// Package privexec starts the programs that change the machine in a process that is
// not the daemon: under systemd the daemon may write nearly nowhere, and what it
// starts would inherit that.
//
// A connection is one program: a request with the descriptors that it inherits, the
// answer that it runs, and how it ended. It promises that the program gets exactly
// what it would get as a child of who asks; that it goes on when who asked is gone;
// and that only root is listened to. It does not judge what it is asked to run.
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

// request is a program to start. The descriptors that come with it are its standard
// output, its standard error, and those from 3.
type request struct {
	Path string   `json:"path"`
	Args []string `json:"args"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
}

// reply is first that the program runs, or why not, and then how it ended.
type reply struct {
	PID    int    `json:"pid,omitempty"`
	Error  string `json:"error,omitempty"`
	Ended  bool   `json:"ended,omitempty"`
	Code   int    `json:"code,omitempty"`   // -1: a signal ended it
	Status string `json:"status,omitempty"` // in words, when it failed
}

// killMessage is what who asked says to have the program killed.
const killMessage = "kill"

// send sends one message, with files.
func send(c *net.UnixConn, v any, files ...*os.File) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxMessage || len(files) > maxFiles {
		return fmt.Errorf("too much for one message: %d bytes, %d descriptors", len(b), len(files))
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

// receive receives one message and the files that came with it.
func receive(c *net.UnixConn, into any) ([]*os.File, error) {
	b, oob := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, flags, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return nil, err
	}
	files, err := receivedFiles(oob[:oobn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("the message is too long")
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
