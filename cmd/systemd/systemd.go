// Package systemd implements socket activation and readiness notification; see
// sd_listen_fds(3) and sd_notify(3). Without a service manager its functions do nothing.
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"cortex/events"
)

// listenFDsStart is the first descriptor of passed sockets.
const listenFDsStart = 3

// Listener returns the socket that systemd passed to this process, or nil. Children do not
// inherit the socket.
func Listener(env func(string) string, pid int) (*net.UnixListener, error) {
	if env("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	fail := func(err error) (*net.UnixListener, error) {
		return nil, &events.Error{Op: "systemd.Listener", Kind: events.ErrUnavailable, Subject: "LISTEN_FDS", Err: err, Hint: "see 'systemctl status cortexd.socket cortex-worker.socket'"}
	}
	if n := env("LISTEN_FDS"); n != "1" {
		return fail(fmt.Errorf("systemd passed %q sockets instead of 1", n))
	}
	f := os.NewFile(listenFDsStart, "socket")
	defer f.Close() // FileListener duplicates the descriptor with close-on-exec
	l, err := net.FileListener(f)
	if err != nil {
		return fail(err)
	}
	unix, ok := l.(*net.UnixListener)
	if !ok {
		return fail(errors.Join(errors.New("not a Unix socket"), l.Close()))
	}
	unix.SetUnlinkOnClose(false) // systemd owns the path
	return unix, nil
}

// Notify sends a state such as "READY=1" to the service manager.
func Notify(env func(string) string, state string) error {
	name := env("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}
