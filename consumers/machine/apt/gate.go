package apt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"

	"cortex/consumers/machine"
	"cortex/events"
)

// gateScript is the hook. It passes on what apt tells it through the pipes that
// apt-get, its parent, has from us, and lets dpkg start only when the answer is
// "go": when we are gone, the pipes are, and apt ends without having changed
// anything. It is constant; its first word is the name under which apt keeps the
// hook's protocol version.
const (
	gateScript = `true && { cat; echo; echo ` + gateEnd + `; } >/proc/$PPID/fd/5 && read -r verdict </proc/$PPID/fd/6 && [ "$verdict" = go ]`
	gateEnd    = "cortex-end-of-actions"
)

// gate is one open gate: the child's ends of two pipes, and ours.
type gate struct {
	childActions, childVerdict *os.File // the child's: descriptors 5 and 6
	actions, verdict           *os.File // ours
	veto                       error
	done                       chan struct{}
}

func openGate() (*gate, error) {
	actions, toUs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	fromUs, verdict, err := os.Pipe()
	if err != nil {
		actions.Close()
		toUs.Close()
		return nil, err
	}
	return &gate{childActions: toUs, childVerdict: fromUs, actions: actions, verdict: verdict, done: make(chan struct{})}, nil
}

// serveGate answers the hook until the child is gone.
func (m *Machine) serveGate(ctx context.Context, g *gate, decide machine.Gate, native events.Architecture) {
	g.childActions.Close()
	g.childVerdict.Close()
	go func() {
		defer close(g.done)
		in := bufio.NewReader(g.actions)
		for {
			lines, err := readActions(in)
			if err != nil {
				return
			}
			about, err := parseActions(lines, native)
			for i := range about {
				if about[i].Deb != "" {
					about[i].Deb = m.hostPath(about[i].Deb)
				}
			}
			if err == nil {
				err = decide(ctx, about)
			}
			answer := "go\n"
			if err != nil {
				answer, g.veto = "no\n", err
			}
			if _, err := io.WriteString(g.verdict, answer); err != nil {
				return
			}
		}
	}()
}

// close ends the gate: a hook that still waits gets no answer, which is a veto.
func (g *gate) close() {
	for _, f := range []*os.File{g.childActions, g.childVerdict, g.actions, g.verdict} {
		f.Close()
	}
}

// wait waits until nothing more can come and gives the veto.
func (g *gate) wait() error {
	g.close()
	<-g.done
	return g.veto
}

// readActions reads up to the line that ends one run of the hook.
func readActions(in *bufio.Reader) ([]string, error) {
	var lines []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if line = strings.TrimSuffix(line, "\n"); line == gateEnd {
			return lines, nil
		}
		if len(lines) > 64*events.MaxChangesPerPlan {
			return nil, errors.New("apt tells too much")
		}
		lines = append(lines, line)
	}
}

// ParseActions reads what apt tells a hook of version 3; see [machine.PendingAction]. command is
// the command line as apt has it.
func (m *Machine) ParseActions(ctx context.Context, r io.Reader) (about []machine.PendingAction, command string, err error) {
	native, err := m.NativeArch(ctx)
	if err != nil {
		return nil, "", err
	}
	b, err := io.ReadAll(io.LimitReader(r, 64<<20))
	if err != nil {
		return nil, "", err
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	for _, line := range lines {
		if v, ok := strings.CutPrefix(line, "CommandLine::AsString="); ok && command == "" {
			command, _ = url.PathUnescape(v) // apt writes blanks as %20
			command = SanitizeOutput(command)
		}
	}
	about, err = parseActions(lines, native)
	for i := range about {
		if about[i].Deb != "" {
			about[i].Deb = m.hostPath(about[i].Deb)
		}
	}
	return about, command, err
}

// parseActions reads the protocol: a version line, apt's configuration, an empty
// line, then one line for each action: NAME OLD ARCH MA < NEW ARCH MA FILE.
func parseActions(lines []string, native events.Architecture) ([]machine.PendingAction, error) {
	bad := func(line string) error {
		return &events.Error{Op: "apt.parseActions", Kind: events.ErrApt, Subject: "apt's actions", Err: fmt.Errorf("unexpected line %q", SanitizeOutput(line))}
	}
	if len(lines) == 0 || lines[0] != "VERSION 3" {
		return nil, bad(strings.Join(lines[:min(1, len(lines))], ""))
	}
	var out []machine.PendingAction
	body := false
	for _, line := range lines[1:] {
		if line == "" {
			body = true
			continue
		}
		if !body {
			continue
		}
		f := strings.SplitN(line, " ", 9)
		if len(f) != 9 {
			return nil, bad(line)
		}
		a := machine.PendingAction{Old: parseVersion(f[1]), New: parseVersion(f[5])}
		arch := f[2]
		if a.New != "" {
			arch = f[6]
		}
		a.PackageKey = keyOf(f[0], arch, native)
		if err := a.Name.Validate(); err != nil {
			return nil, bad(line)
		}
		switch {
		case f[8] == "**REMOVE**":
			a.Remove = true
		case f[8] == "**CONFIGURE**":
		case path.IsAbs(f[8]):
			a.Deb = f[8]
		default:
			return nil, bad(line)
		}
		out = append(out, a)
	}
	return out, nil
}

func parseVersion(s string) events.Version {
	if s == "-" {
		return ""
	}
	return events.Version(s)
}
