package main_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"cortex/cmd/cli"
)

// contract is the content of docs/json.md.
type contract struct {
	fields, maybe map[string][]string // by command, without version
	lines         []string            // commands that print one object in each line
	none          []string            // commands that print no JSON
}

var code = regexp.MustCompile("`([^`]+)`")

func readContract(t *testing.T) contract {
	t.Helper()
	text, err := os.ReadFile("../../docs/json.md")
	if err != nil {
		t.Fatal(err)
	}
	names := func(s string) (out []string) {
		for _, m := range code.FindAllStringSubmatch(s, -1) {
			out = append(out, m[1])
		}
		return out
	}
	c := contract{fields: map[string][]string{}, maybe: map[string][]string{}}
	for line := range strings.SplitSeq(string(text), "\n") {
		switch cells := strings.Split(line, "|"); {
		case strings.HasPrefix(line, "Not JSON: "):
			c.none = names(line)
		case strings.HasPrefix(line, "Lines: "):
			c.lines = names(line)
		case len(cells) == 5 && strings.HasPrefix(cells[1], " `"):
			for _, command := range names(cells[1]) {
				c.fields[command], c.maybe[command] = names(cells[2]), names(cells[3])
			}
		}
	}
	return c
}

// TestJSONContractHasEveryCommand holds that docs/json.md describes the output of every
// command.
func TestJSONContractHasEveryCommand(t *testing.T) {
	c := readContract(t)
	known := slices.Concat(slices.Collect(maps.Keys(c.fields)), c.lines, c.none)
	var walk func(cmd *cobra.Command)
	there := map[string]bool{}
	walk = func(cmd *cobra.Command) {
		name := strings.TrimPrefix(cmd.CommandPath(), "cortex ")
		there[name] = true
		// A command that only groups others prints its help.
		if cmd.Runnable() && !cmd.Hidden && cmd.HasParent() && (!cmd.HasSubCommands() || runnableParents[name]) && !slices.Contains(known, name) {
			t.Errorf("docs/json.md does not describe '%s --json'", name)
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(cli.Root())
	for name := range c.fields {
		if !there[name] {
			t.Errorf("docs/json.md describes %q, which is not a command", name)
		}
	}
}

// runnableParents are the commands that have subcommands and can also run themselves.
var runnableParents = map[string]bool{"hardware": true, "logs": true, "suggest": true}

// TestJSONContractDescribesOutput runs the commands that need no model and no
// server on one machine, one after the other.
func TestJSONContractDescribesOutput(t *testing.T) {
	m := setup(t)
	c := readContract(t)
	m.WriteFile(t, "/root/m.toml", "version = 1\n[packages]\ntoy-lib = \"2.0\"\n")
	for _, run := range []string{
		"status", "daemon start", "install toy-app --yes", "undo --yes", "redo --yes", "hold toy-lib --yes", "unhold toy-lib --yes",
		"plan toy-extra", "upgrade --yes", "rollback --to 1 --dry-run", "remove toy-app --yes", "purge toy-app --yes", "attach last",
		"history", "show last", "packages", "file /etc/toy-app/main.conf", "why toy-lib", "events list", "events show 1",
		"doctor", "logs", "logs --errors", "logs --timings", "policy list", "policy check",
		"replay", "replay --verify", "daemon status", "hardware", "hardware snapshot", "hardware history",
		"hardware diff", "hardware recommend", "limits list", "limits create small --memory 1G", "kvcache list",
		"audit head", "audit verify", "audit key", "audit export", "audit prove 1", "store status", "store gc", "store verify", "store fetch",
		"llm health", "llm providers", "llm usage", "config show", "config get root", "config set idle_timeout 1m", "config unset idle_timeout",
		"config check", "config export", "config validate /root/m.toml", "config import /root/m.toml --dry-run",
		"memory set no-snap never", "memory show", "memory search never", "memory export", "memory forget --all", "suggest",
		"backup create --to /root/b.tar", "backup list", "backup verify /root/b.tar", "backup restore /root/b.tar --into /root/restored",
		"hooks install", "hooks status", "hooks uninstall", "catalog build", "catalog status", "cache list", "cache stats", "cache clear",
		"shell install bash", "shell uninstall bash", "ask what is installed", "version", "explain apt-get^install^toy-lib",
	} {
		args := strings.Fields(run)
		args[len(args)-1] = strings.ReplaceAll(args[len(args)-1], "^", " ") // one argument
		r := m.cortex(append(args, "--json")...)
		name := args[0]
		if len(args) > 1 {
			two := args[0] + " " + args[1]
			if _, known := c.fields[two]; known || slices.Contains(c.lines, two) {
				name = two
			}
		}
		if r.code != 0 {
			t.Errorf("%s: exit %d\n%s%s", run, r.code, r.out, r.err)
			continue
		}
		if _, once := c.fields[name]; !once && slices.Contains(c.lines, name) {
			for line := range strings.Lines(r.out) {
				var v struct {
					Version int
					Type    string
				}
				if err := json.Unmarshal([]byte(line), &v); err != nil || v.Version != 1 || v.Type == "" {
					t.Errorf("%s prints the line %s", run, line)
				}
			}
			continue
		}
		var v map[string]json.RawMessage
		if err := json.Unmarshal([]byte(r.out), &v); err != nil {
			t.Errorf("%s prints %q: %v", run, r.out, err)
			continue
		}
		delete(v, "version")
		for _, want := range c.fields[name] {
			if _, there := v[want]; !there {
				t.Errorf("the output of %s has no field %q", run, want)
			}
			delete(v, want)
		}
		for _, may := range c.maybe[name] {
			delete(v, may)
		}
		if len(v) > 0 {
			t.Errorf("%s prints %q, which docs/json.md does not describe", run, slices.Sorted(maps.Keys(v)))
		}
	}
}

func TestJSONFlagAnywhereAppliesToErrors(t *testing.T) {
	m := setup(t)
	for _, args := range []string{"history --frob --json", "--json history --frob", "frob --json", "install --json=true --frob x", "install ../x --json", "show 99 --json"} {
		r := m.cortex(strings.Fields(args)...)
		var v struct {
			Version int
			Type    string
		}
		if err := json.Unmarshal([]byte(r.out), &v); err != nil || v.Version != 1 || v.Type != "error" || r.err != "" || r.code == 0 {
			t.Errorf("%s: exit %d, %q, %q", args, r.code, r.out, r.err)
		}
	}
	if r := m.cortex("history", "--frob", "--", "--json"); r.out != "" || r.err == "" {
		t.Errorf("--json after --: stdout %q, stderr %q", r.out, r.err)
	}
}
