//go:build peers

package main_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"cortex/consumers/testbed"
)

// peer is a package manager with a history, in a root of its own, behind a script
// (testdata/peers) that gives the scenarios' words their meaning. The script is
// told to be as willing as its tool can be told to be: nothing is refused only
// because nobody answered.
type peer struct {
	name  string
	suite testbed.Suite                                    // the root; the bed's own when empty
	begin func(*testing.T, *testbed.Bed)                   // more than the script's begin
	look  func(*testing.T, *testbed.Bed) map[string]string // the state vector; nil when nothing is measured
	// said are cells that are not measured, by the scenario's name; "" is for all
	// that are not named.
	said map[string]string
}

func dpkgVector(t *testing.T, bed *testbed.Bed) map[string]string { return bed.Vector(t) }

// scenario is something done and taken back. The scripts call the tool pm.
type scenario struct {
	name    string
	prepare string
	do      string
	fails   bool   // do may fail
	dies    bool   // do waits in a package's script, and everything is killed there
	newest  bool   // what was replaced leaves the archive before the undo
	undo    string // "pm undo" when empty
	further string // tried when the undo was refused, and said so in the table
	later   string // a package of a later transaction, that the undo has to ask about
	redo    bool   // after the undo, redo: it has to be as do left it
}

const app1 = "pm install toy-app=1.0 toy-lib=1.0 toy-extra; pm auto toy-lib toy-extra; "

var scenarios = []scenario{
	{name: "upgrade", prepare: app1, do: "pm upgrade toy-app"},
	{name: "upgrade, the old version gone from the archive", prepare: app1, do: "pm upgrade toy-app", newest: true},
	{name: "downgrade", prepare: "pm install toy-app", do: "pm install toy-app=1.0"},
	{name: "reinstall", prepare: "pm install toy-app", do: "pm reinstall toy-app"},
	{name: "install with automatic dependencies", prepare: "pm install toy-common", do: "pm install toy-app"},
	{name: "autoremove", prepare: "pm install toy-app; pm remove toy-app", do: "pm autoremove"},
	{name: "edited conffile, remove", prepare: "pm install toy-app; echo mine >/etc/toy-app/main.conf", do: "pm remove toy-app"},
	{name: "edited conffile, purge", prepare: "pm install toy-app; echo mine >/etc/toy-app/main.conf", do: "pm purge toy-app"},
	{name: "deleted conffile, purge", prepare: "pm install toy-app; rm /etc/toy-app/main.conf", do: "pm purge toy-app"},
	{name: "conffile that the new version drops", prepare: app1 + "echo mine >/etc/toy-app/old.conf", do: "pm upgrade toy-app"},
	{name: "file that a script generated, purge", prepare: "pm install toy-app; echo mine >/etc/toy-app/generated", do: "pm purge toy-app"},
	{name: "hold, dropped by a removal", prepare: "pm install toy-app; pm hold toy-app", do: "pm remove toy-app"},
	{name: "automatic mark, made manual", prepare: "pm install toy-app", do: "pm manual toy-lib"},
	{name: "conflict: one package for another", prepare: "pm install toy-app; echo mine >/etc/toy-app/main.conf", do: "pm install toy-alt"},
	{name: "manual choice of an alternative, remove", prepare: "pm install toy-altern; update-alternatives --set toy-tool /usr/bin/toy-altern-2", do: "pm remove toy-altern"},
	{name: "debconf answer, purge", prepare: "echo 'toy-debconf toy-debconf/answer string 43' | debconf-set-selections; pm install toy-debconf", do: "pm purge toy-debconf"},
	{name: "install that fails in a postinst", prepare: "pm install toy-common", do: "pm install cowsay toy-fail-postinst", fails: true},
	{name: "a later transaction depends on it", prepare: "pm install toy-common", do: "pm install toy-lib; pm install toy-app", undo: "pm undo-first", further: "pm cascade", later: "toy-app"},
	{name: "kill -9 in the middle", prepare: "pm install toy-common", do: "pm install cowsay toy-slow", dies: true, further: "pm repair; pm undo"},
	{name: "undo of the undo", prepare: "pm install toy-common", do: "pm install toy-app", redo: true},
}

// TestPeers does every scenario with every peer, and prints what the undo brought
// back as a table of Markdown ('make undo-table'). CORTEX_PEERS names the peers to
// ask, CORTEX_PEERS_SCENARIO a part of the scenarios' names; CORTEX_PEERS_LOG=1
// shows all that they said.
func TestPeers(t *testing.T) {
	var asked []peer
	for _, p := range peers {
		if names := os.Getenv("CORTEX_PEERS"); names == "" || slices.Contains(strings.Fields(names), p.name) {
			asked = append(asked, p)
		}
	}
	head, rows := []string{"after"}, [][]string{}
	for _, p := range asked {
		if p.look == nil {
			head = append(head, p.name+" †")
			continue
		}
		head = append(head, seat(t, p).version())
	}
	for _, s := range scenarios {
		if !strings.Contains(s.name, os.Getenv("CORTEX_PEERS_SCENARIO")) {
			continue
		}
		row := []string{s.name}
		for _, p := range asked {
			if said := cmp.Or(p.said[s.name], p.said[""]); said != "" {
				row = append(row, said+" †")
				continue
			}
			t.Run(s.name+"/"+p.name, func(t *testing.T) {
				row = append(row, seat(t, p).try(s))
			})
		}
		rows = append(rows, row)
	}
	fmt.Printf("\n%s", markdown(head, rows))
	fmt.Printf("\nMeasured with `make undo-table` on a machine with %d processors, %s.\n", runtime.NumCPU(), system(t))
}

// system is what the machine calls itself.
func system(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	_, name, _ := strings.Cut(string(data), `PRETTY_NAME="`)
	name, _, _ = strings.Cut(name, `"`)
	return name
}

func markdown(head []string, rows [][]string) string {
	var out strings.Builder
	line := func(cells []string) { fmt.Fprintf(&out, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	line(slices.Repeat([]string{"---"}, len(head)))
	for _, r := range rows {
		line(r)
	}
	return out.String()
}

// seated is a peer in a fresh root.
type seated struct {
	*testbed.Bed
	peer
	t *testing.T
}

func seat(t *testing.T, p peer) *seated {
	t.Helper()
	var bed *testbed.Bed
	if p.suite.Name == "" {
		bed = another(t).Bed
	} else {
		bed = testbed.NewOf(t, p.suite)
	}
	bed.Copy(t, filepath.Join("testdata/peers", p.name), "/usr/bin/pm")
	s := &seated{Bed: bed, peer: p, t: t}
	if p.begin != nil {
		p.begin(t, bed)
	}
	s.sh("pm begin")
	return s
}

func (s *seated) version() string {
	s.t.Helper()
	return strings.TrimSpace(s.Run(s.t, "/usr/bin/pm", "version"))
}

// newest is what the tool calls the newest transaction of its history.
func (s *seated) newest() string {
	out, code := s.Try("/usr/bin/pm", "newest")
	if code != 0 {
		s.t.Logf("its history ends with %d: %s", code, out)
	}
	return out
}

// sh runs a script that has to go well.
func (s *seated) sh(script string) {
	s.t.Helper()
	s.log(script, s.Run(s.t, "/bin/sh", "-ec", script), 0)
}

// attempt runs a script that may fail.
func (s *seated) attempt(script string) int {
	out, code := s.Try("/bin/sh", "-c", script)
	s.log(script, out, code)
	return code
}

func (s *seated) log(script, out string, code int) {
	if os.Getenv("CORTEX_PEERS_LOG") != "" {
		s.t.Logf("$ %s\n%s→ %d", script, out, code)
	}
}

// try does a scenario and gives the table's cell.
func (s *seated) try(sc scenario) string {
	s.WriteFile(s.t, "/run/toy-slow.go", "")
	s.sh(sc.prepare)
	before, newest := s.look(s.t, s.Bed), s.newest()
	s.do(sc)
	done := s.look(s.t, s.Bed)
	if maps.Equal(before, done) && sc.name != "reinstall" {
		s.t.Errorf("it changed nothing: the scenario is empty")
	}
	if s.newest() == newest {
		return "not in its history"
	}
	if sc.newest {
		s.forget()
	}
	undo := sc.undo
	if undo == "" {
		undo = "pm undo"
	}
	code := s.attempt(undo)
	after := s.look(s.t, s.Bed)
	if sc.redo {
		if !maps.Equal(before, after) {
			s.t.Logf("before the redo: %s", judge(before, done, after, code))
		}
		code = s.attempt("pm redo")
		return judge(done, after, s.look(s.t, s.Bed), code)
	}
	cell := judge(before, done, after, code)
	if sc.later != "" && code == 0 {
		cell = "takes " + sc.later + " of the later one away unasked; " + cell
	}
	if sc.further == "" || code == 0 || maps.Equal(before, after) {
		return cell
	}
	if code = s.attempt(sc.further); code == 64 {
		return cell
	}
	return cell + "; then `" + sc.further + "`: " + judge(before, done, s.look(s.t, s.Bed), code)
}

// do does what is to be undone.
func (s *seated) do(sc scenario) {
	s.t.Helper()
	if !sc.dies {
		if code := s.attempt(sc.do); code != 0 && !sc.fails {
			s.t.Fatalf("%s: exit %d", sc.do, code)
		}
		return
	}
	s.Remove(s.t, "/run/toy-slow.go")
	cmd := s.Command("/bin/sh", "-c", sc.do)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	(&machine{t: s.t}).until("the slow package", func() bool { return s.Exists("/run/toy-slow.waiting") })
	s.Kill("") // every process in the root
	_ = cmd.Wait()
	s.WriteFile(s.t, "/run/toy-slow.go", "")
}

// forget takes from the archive, and from the tool's cache, what was replaced, as
// days and a tidy cache do.
func (s *seated) forget() {
	s.t.Helper()
	s.OfferNewest(s.t)
	s.sh("pm forget")
}

// newer is where the others run: apt learnt to undo after Debian 12.
var newer = testbed.Suite{Name: "sid", Packages: []string{"nala", "ca-certificates", "dnf5", "rpm", "createrepo-c"}}

var peers = []peer{
	{name: "cortex", look: dpkgVector},
	{name: "apt", suite: newer, look: dpkgVector},
	{name: "nala", suite: newer, look: dpkgVector},
	{name: "dnf5", suite: newer, begin: rpmRepository, look: rpmVector, said: map[string]string{
		"debconf answer, purge": "– (rpm asks nothing)",
	}},
	{name: "snapper 0.10", said: map[string]string{
		"":                                  "full, if nothing changed since",
		"automatic mark, made manual":       "not in its history",
		"a later transaction depends on it": "wrong: dpkg's list goes back, the later package's files stay",
	}},
}
