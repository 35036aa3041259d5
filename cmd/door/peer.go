package door

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cortex/events"
)

type peerKey struct{}

// withPeer asks the kernel who is at the other end of a connection.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return ctx
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || credErr != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, *cred)
}

// peer gives the caller as an actor; ok is false when the kernel did not say.
func peer(r *http.Request) (events.Actor, bool) {
	cred, ok := r.Context().Value(peerKey{}).(unix.Ucred)
	if !ok {
		return events.Actor{}, false
	}
	a := events.Actor{UID: int(cred.Uid), PID: int(cred.Pid), Program: "cortex"}
	if u, err := user.LookupId(strconv.Itoa(a.UID)); err == nil {
		a.User = u.Username
	}
	describe(&a, fmt.Sprintf("/proc/%d", cred.Pid))
	told(&a, r.Header)
	return a, true
}

// Headers in which a caller that is root says from where it was called. A daemon whose
// rights are bounded cannot see that by itself.
const (
	HeaderTTY  = "Cortex-Tty"
	HeaderSudo = "Cortex-Sudo-User"
)

// told adds what root says about itself where the kernel did not let us look.
func told(a *events.Actor, h http.Header) {
	if a.UID != 0 {
		return
	}
	if a.TTY == "" {
		a.TTY = word(h.Get(HeaderTTY), 32)
	}
	if a.SudoUser == "" {
		a.SudoUser = word(h.Get(HeaderSudo), 64)
	}
}

// describe adds what the caller's process says about itself. All of it is for
// people; nothing is decided by it.
func describe(a *events.Actor, proc string) {
	if b, err := os.ReadFile(filepath.Join(proc, "loginuid")); err == nil {
		// 4294967295 stands for "not set"
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32); err == nil && n != 1<<32-1 {
			a.LoginUID = int(n)
		}
	}
	if b, err := os.ReadFile(filepath.Join(proc, "comm")); err == nil {
		a.Program = word(strings.TrimSpace(string(b)), 32)
	}
	if link, err := os.Readlink(filepath.Join(proc, "fd", "0")); err == nil && strings.HasPrefix(link, "/dev/pts/") {
		a.TTY = word(strings.TrimPrefix(link, "/dev/"), 32)
	}
	if b, err := os.ReadFile(filepath.Join(proc, "environ")); err == nil && a.UID == 0 {
		for kv := range strings.SplitSeq(string(b), "\x00") {
			if v, ok := strings.CutPrefix(kv, "SUDO_USER="); ok {
				a.SudoUser = word(v, 64)
			}
		}
	}
}

// word keeps foreign text short and free of anything but plain characters.
func word(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}
