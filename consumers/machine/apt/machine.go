package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"cortex/events"
)

// Config configures a Machine.
type Config struct {
	// Root is the root directory of the machine: "/", or an isolated root. Children
	// of an isolated root run chrooted.
	Root string
	// WorkDir is the directory for the output of running steps. It is outside Root and
	// must survive a restart.
	WorkDir string
	// PlaceDeb puts a package file from the store into a directory, as DIGEST.deb; see
	// blobstore.Blobs.PlaceDeb. Required for steps that name a package file.
	PlaceDeb func(d events.Digest, dir string) (path string, err error)
	// FindDeb finds a package file in the store, for a package whose unpacking was
	// interrupted; see blobstore.Blobs.Deb. Optional.
	FindDeb func(k events.PackageKey, v events.Version) (events.Deb, bool)
	// Start starts every program, if it must not be a child of this process. Optional.
	// It cannot chroot, so Root must be "/".
	Start  StartFunc
	Logger *slog.Logger
}

// Machine is one Debian or Ubuntu system. It is safe for concurrent use; use
// [New].
type Machine struct {
	cfg  Config
	arch atomic.Pointer[events.Architecture] // nil until it is known

	inventory        memo[events.Inventory]
	conffileRegistry memo[map[events.PackageKey]string]
}

// New returns a machine; nothing is read yet.
func New(cfg Config) *Machine {
	if cfg.Root == "" {
		cfg.Root = "/"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Machine{cfg: cfg}
}

// NativeArch returns the machine's native architecture.
func (m *Machine) NativeArch(ctx context.Context) (events.Architecture, error) {
	if a := m.arch.Load(); a != nil {
		return *a, nil
	}
	out, err := m.runReadOnly(ctx, architectureCommand())
	if err != nil {
		return "", err
	}
	a := events.Architecture(strings.TrimSpace(string(out)))
	if err := a.Validate(); err != nil {
		return "", fmt.Errorf("read dpkg's architecture: %w", err)
	}
	m.arch.Store(&a)
	return a, nil
}

// hostPath returns a path inside the root as a path of this process.
func (m *Machine) hostPath(p string) string { return filepath.Join(m.cfg.Root, p) }

// OwnRunEnv is the environment variable of our own children. The hooks ignore runs that
// have it.
const OwnRunEnv = "CORTEX_TRANSACTION"

// childEnv is the whole environment of every child.
var childEnv = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"LC_ALL=C.UTF-8", "HOME=/root", "TERM=dumb",
	"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true",
	"APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_MODE=l",
	OwnRunEnv + "=1",
}

// prepare prepares a child in the machine's root. No context ends it.
func (m *Machine) prepare(c command) *exec.Cmd {
	cmd := &exec.Cmd{Path: m.findProgram(c.program()), Args: c.argv, Env: childEnv, Dir: "/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if m.cfg.Root != "/" {
		cmd.SysProcAttr.Chroot = m.cfg.Root
	}
	return cmd
}

// findProgram returns a program's path inside the root.
func (m *Machine) findProgram(name string) string {
	for _, dir := range []string{"/usr/bin", "/bin", "/usr/sbin", "/sbin"} {
		if info, err := os.Stat(m.hostPath(dir + "/" + name)); err == nil && !info.IsDir() {
			return dir + "/" + name
		}
	}
	return "/usr/bin/" + name
}

// runReadOnly runs a command that changes nothing and returns its output.
func (m *Machine) runReadOnly(ctx context.Context, c command) ([]byte, error) {
	cmd := m.prepare(c)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	child, err := m.start(cmd)
	if err != nil {
		return nil, startError(c.program(), err)
	}
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			return stdout.Bytes(), &events.Error{
				Op: "apt.runReadOnly", Kind: events.ErrApt, Subject: c.program(),
				Err: errors.New(failureReason(stdout.String()+stderr.String(), err)), Hint: "run 'apt-get check' to see whether apt itself works",
			}
		}
		return stdout.Bytes(), nil
	case <-ctx.Done():
		child.Kill() // it only reads
		<-done
		return nil, ctx.Err()
	}
}

func startError(program string, err error) error {
	return &events.Error{
		Op: "apt.start", Kind: events.ErrUnavailable, Subject: program, Err: err,
		Hint: "cortex needs apt and dpkg, as on Debian and Ubuntu",
	}
}

// failureReason returns the reason of a failure from a program's output: dpkg's error
// messages, or apt's, or the last line.
func failureReason(output string, err error) string {
	lines := strings.Split(strings.TrimSpace(SanitizeOutput(output)), "\n")
	var apt, dpkg []string
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "dpkg: error processing") && i+1 < len(lines):
			dpkg = append(dpkg, strings.TrimSuffix(strings.TrimPrefix(line, "dpkg: "), ":")+": "+strings.TrimSpace(lines[i+1]))
		case strings.HasPrefix(line, "dpkg: error"):
			dpkg = append(dpkg, strings.TrimPrefix(line, "dpkg: "))
		case strings.HasPrefix(line, "E: "):
			apt = append(apt, strings.TrimPrefix(line, "E: "))
		}
	}
	switch {
	case len(dpkg) > 0:
		return strings.Join(dpkg[:min(3, len(dpkg))], "; ")
	case len(apt) > 0:
		return strings.Join(apt[:min(3, len(apt))], "; ")
	case len(lines) > 0 && lines[len(lines)-1] != "":
		return fmt.Sprintf("%s (%v)", lines[len(lines)-1], err)
	}
	return err.Error()
}

// SanitizeOutput makes the output of a program safe to show and store: valid UTF-8,
// carriage returns as line ends, no control characters or escape sequences, no
// bidirectional overrides.
func SanitizeOutput(s string) string {
	s = strings.ToValidUTF8(s, "�")
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		r, size := decodeRune(s[i:])
		switch {
		case r == 0x1b:
			size = escapeLen(s[i:])
		case r == '\r':
			if !strings.HasPrefix(s[i+size:], "\n") {
				b.WriteByte('\n')
			}
		case r == '\n' || r == '\t' || printable(r):
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}
