// Package systemd speaks to the service manager where there is one: it takes the
// socket that it listens on for us, and tells it that we are ready. Without it both do
// nothing. See sd_listen_fds(3) and sd_notify(3).
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"cortex/events"
)

// listenFDsStart is the descriptor from which sockets are passed.
const listenFDsStart = 3

// Listener gives the socket that systemd listens on for this process, and nil where
// it passed none. Children do not get to know of it.
func Listener(env func(string) string, pid int) (*net.UnixListener, error) {
	if env("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	fail := func(err error) (*net.UnixListener, error) {
		return nil, &events.Error{Op: "systemd.Listener", Kind: events.ErrUnavailable, Subject: "LISTEN_FDS", Err: err, Hint: "see 'systemctl status cortexd.socket cortex-worker.socket'"}
	}
	if n := env("LISTEN_FDS"); n != "1" {
		return fail(fmt.Errorf("%q sockets were passed, and one is wanted", n))
	}
	f := os.NewFile(listenFDsStart, "socket")
	defer f.Close() // FileListener has a descriptor of its own, closed in children
	l, err := net.FileListener(f)
	if err != nil {
		return fail(err)
	}
	unix, ok := l.(*net.UnixListener)
	if !ok {
		return fail(errors.Join(errors.New("it is not a Unix socket"), l.Close()))
	}
	unix.SetUnlinkOnClose(false) // it is systemd's
	return unix, nil
}

// Notify tells the service manager how we are, as in "READY=1".
func Notify(env func(string) string, state string) error {
	name := env("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}
