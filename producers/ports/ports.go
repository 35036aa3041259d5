// Package ports lists the listening sockets and their processes. It reads only /proc.
//
// It promises to name a process only when that process holds the socket. Without root the
// processes of other users are hidden; their sockets are listed with PID 0.
package ports

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Listener is a socket that waits for connections or datagrams.
type Listener struct {
	Protocol string         `json:"protocol"` // tcp, tcp6, udp, udp6
	Address  netip.AddrPort `json:"address"`
	PID      int            `json:"pid,omitempty"`     // 0: hidden
	Program  string         `json:"program,omitempty"` // the path of the executable, or the name of the process
	inode    string
}

// listenStates has the state of a listening socket for each protocol: TCP_LISTEN for TCP, and
// TCP_CLOSE for an unconnected UDP socket.
var listenStates = map[string]string{"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}

// Listeners returns the listening sockets in the /proc of a root directory.
func Listeners(root string) ([]Listener, error) {
	var out []Listener
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		f, err := os.Open(filepath.Join(root, "proc/net", protocol))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the kernel has no IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("read the socket table: %w", err)
		}
		found, err := parseSocketTable(f, protocol)
		f.Close()
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	fillOwners(filepath.Join(root, "proc"), out)
	return out, nil
}

// parseSocketTable parses a table of sockets in /proc/net.
func parseSocketTable(r io.Reader, protocol string) ([]Listener, error) {
	var out []Listener
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != listenStates[protocol] {
			continue
		}
		address, err := parseAddrPort(f[1])
		if err != nil {
			continue // the heading
		}
		out = append(out, Listener{Protocol: protocol, Address: address, inode: f[9]})
	}
	return out, lines.Err()
}

// parseAddrPort parses an address such as "0100007F:0050". Each group of four bytes has the
// byte order of the machine. That is little-endian on all architectures of Debian and Ubuntu
// except s390x.
func parseAddrPort(s string) (netip.AddrPort, error) {
	host, port, ok := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("invalid address %q", s)
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// fillOwners sets the process of each socket that a visible process holds.
func fillOwners(proc string, listeners []Listener) {
	wanted := map[string][]*Listener{}
	for i := range listeners {
		wanted[listeners[i].inode] = append(wanted[listeners[i].inode], &listeners[i])
	}
	dirs, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	for _, dir := range dirs {
		fds, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue // the process has ended or belongs to another user
		}
		for _, fd := range fds {
			target, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			inode, ok := strings.CutPrefix(target, "socket:[")
			if err != nil || !ok {
				continue
			}
			for _, l := range wanted[strings.TrimSuffix(inode, "]")] {
				if l.PID == 0 {
					l.PID, _ = strconv.Atoi(filepath.Base(dir))
					l.Program = programOf(dir)
				}
			}
		}
	}
}

func programOf(dir string) string {
	if exe, err := os.Readlink(filepath.Join(dir, "exe")); err == nil {
		return strings.TrimSuffix(exe, " (deleted)")
	}
	comm, err := os.ReadFile(filepath.Join(dir, "comm"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(comm))
}
