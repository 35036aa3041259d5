package api

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

// withPeer stores the peer credentials of a connection in its context.
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

// peerActor returns the caller as an actor. ok is false if the kernel reported no peer
// credentials.
func peerActor(r *http.Request) (events.Actor, bool) {
	cred, ok := r.Context().Value(peerKey{}).(unix.Ucred)
	if !ok {
		return events.Actor{}, false
	}
	a := events.Actor{UID: int(cred.Uid), PID: int(cred.Pid), Program: "cortex"}
	if u, err := user.LookupId(strconv.Itoa(a.UID)); err == nil {
		a.User = u.Username
	}
	addProcessDetails(&a, fmt.Sprintf("/proc/%d", cred.Pid))
	addRootHeaders(&a, r.Header)
	return a, true
}

// Headers in which a caller that is root names its terminal and the user who called sudo.
// A sandboxed daemon cannot read them from /proc.
const (
	HeaderTTY      = "Cortex-Tty"
	HeaderSudoUser = "Cortex-Sudo-User"
)

// addRootHeaders adds the headers of a caller that is root where /proc had no value.
func addRootHeaders(a *events.Actor, h http.Header) {
	if a.UID != 0 {
		return
	}
	if a.TTY == "" {
		a.TTY = sanitize(h.Get(HeaderTTY), 32)
	}
	if a.SudoUser == "" {
		a.SudoUser = sanitize(h.Get(HeaderSudoUser), 64)
	}
}

// addProcessDetails adds details from the caller's process directory. They are for display
// only: no decision depends on them.
func addProcessDetails(a *events.Actor, proc string) {
	if b, err := os.ReadFile(filepath.Join(proc, "loginuid")); err == nil {
		// 4294967295 means "not set"
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32); err == nil && n != 1<<32-1 {
			a.LoginUID = int(n)
		}
	}
	if b, err := os.ReadFile(filepath.Join(proc, "comm")); err == nil {
		a.Program = sanitize(strings.TrimSpace(string(b)), 32)
	}
	if link, err := os.Readlink(filepath.Join(proc, "fd", "0")); err == nil && strings.HasPrefix(link, "/dev/pts/") {
		a.TTY = sanitize(strings.TrimPrefix(link, "/dev/"), 32)
	}
	if b, err := os.ReadFile(filepath.Join(proc, "environ")); err == nil && a.UID == 0 {
		for kv := range strings.SplitSeq(string(b), "\x00") {
			if v, ok := strings.CutPrefix(kv, "SUDO_USER="); ok {
				a.SudoUser = sanitize(v, 64)
			}
		}
	}
}

// sanitize cuts s to most bytes and replaces every character that is not printable ASCII.
func sanitize(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}
