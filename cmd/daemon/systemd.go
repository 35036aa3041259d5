package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"cortex/events"
)

// firstPassed is the descriptor at which systemd passes sockets; see
// sd_listen_fds(3).
const firstPassed = 3

// passed gives the socket that systemd listens on for this process, and nil where
// it passed none. Children do not get to know of it.
func passed(env func(string) string, pid int) (net.Listener, error) {
	if env("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	fail := func(err error) (net.Listener, error) {
		return nil, &events.Error{Op: "daemon.passed", Kind: events.ErrUnavailable, Subject: "LISTEN_FDS", Err: err, Hint: "see 'systemctl status cortexd.socket'"}
	}
	if n := env("LISTEN_FDS"); n != "1" {
		return fail(fmt.Errorf("%q sockets were passed, and one is wanted", n))
	}
	f := os.NewFile(firstPassed, "cortexd.socket")
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

// notify tells systemd how the daemon is; see sd_notify(3). Without systemd it does
// nothing.
func notify(env func(string) string, state string) error {
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
