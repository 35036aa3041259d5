package cli

import (
	"testing"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
)

// TestEntryHasTheNameOfItsCommand: newRoot finds a command by the name of its entry.
func TestEntryHasTheNameOfItsCommand(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range commands {
		c := e.make(withArgs())
		if c.Name() != e.name || len(c.Aliases) > 0 || seen[e.name] {
			t.Errorf("%q makes %q, %q", e.name, c.Name(), c.Aliases)
		}
		seen[e.name] = true
		one := newRoot(withArgs(e.name, "--help"))
		n := 0
		for _, c := range one.Commands() {
			if c.Name() == e.name {
				n++
			}
		}
		if n != 1 || len(one.Commands()) > 2 {
			t.Errorf("%s: %d commands are made", e.name, len(one.Commands()))
		}
	}
	for _, args := range [][]string{nil, {"help"}, {"instal"}, {"--json", "history"}, {"__complete", "his"}, {"completion", "bash"}} {
		if n := len(newRoot(withArgs(args...)).Commands()); n < len(commands) {
			t.Errorf("%q: %d commands of %d", args, n, len(commands))
		}
	}
}

// withArgs returns the context of a command with these arguments.
func withArgs(args ...string) *cmdutil.Context {
	return &cmdutil.Context{IO: &iostreams.IO{}, Service: &app.Service{Args: args}}
}
