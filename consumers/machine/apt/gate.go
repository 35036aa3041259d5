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

// gateScript is apt's Pre-Install-Pkgs hook (apt.conf(5), version 3). It copies apt's
// list of actions to a pipe that its parent, apt-get, inherited from us. dpkg starts
// only after the answer "go" on the second pipe. If this process ends, the pipes are
// closed, and apt ends without a change. The script is constant. Its first word is the
// name under which apt stores the hook's protocol version.
const (
	gateScript = `true && { cat; echo; echo ` + gateEnd + `; } >/proc/$PPID/fd/5 && read -r verdict </proc/$PPID/fd/6 && [ "$verdict" = go ]`
	gateEnd    = "cortex-end-of-actions"
)

// gate is the two pipes of one run: the child's ends and ours.
type gate struct {
	childActions, childVerdict *os.File // descriptors 5 and 6 of the child
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

// serveGate answers the hook until the child ends.
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
			pending, err := parseActions(lines, native)
			m.toHostPaths(pending)
			if err == nil {
				err = decide(ctx, pending)
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

// close closes the pipes. A hook that still waits receives no answer, which is a veto.
func (g *gate) close() {
	for _, f := range []*os.File{g.childActions, g.childVerdict, g.actions, g.verdict} {
		f.Close()
	}
}

// wait closes the gate and returns the veto, or nil.
func (g *gate) wait() error {
	g.close()
	<-g.done
	return g.veto
}

// readActions reads the lines of one run of the hook.
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
			return nil, errors.New("apt's list of actions is too long")
		}
		lines = append(lines, line)
	}
}

// toHostPaths makes the paths of package files valid outside the root.
func (m *Machine) toHostPaths(actions []machine.PendingAction) {
	for i := range actions {
		if actions[i].Deb != "" {
			actions[i].Deb = m.hostPath(actions[i].Deb)
		}
	}
}

// ParseActions parses the input of a Pre-Install-Pkgs hook of version 3. commandLine is
// apt's own command line.
func (m *Machine) ParseActions(ctx context.Context, r io.Reader) (pending []machine.PendingAction, commandLine string, err error) {
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
		if v, ok := strings.CutPrefix(line, "CommandLine::AsString="); ok && commandLine == "" {
			commandLine, _ = url.PathUnescape(v) // apt writes spaces as %20
			commandLine = SanitizeOutput(commandLine)
		}
	}
	pending, err = parseActions(lines, native)
	m.toHostPaths(pending)
	return pending, commandLine, err
}

// parseActions parses the protocol: a version line, apt's configuration, an empty line,
// then one line for each action: NAME OLD ARCH MA < NEW ARCH MA FILE.
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
