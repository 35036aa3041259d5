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

	"cortex/consumers/machine/testbed"
)

// TestPeers runs every scenario with every peer and prints what the undo restored as a
// Markdown table ('make undo-table'). CORTEX_PEERS limits the peers, CORTEX_PEERS_SCENARIO
// limits the scenarios to names that contain it, and CORTEX_PEERS_LOG=1 prints all output.
func TestPeers(t *testing.T) {
	var asked []peer
	for _, p := range peers {
		if names := os.Getenv("CORTEX_PEERS"); names == "" || slices.Contains(strings.Fields(names), p.name) {
			asked = append(asked, p)
		}
	}
	head, rows := []string{"after"}, [][]string{}
	for _, p := range asked {
		if p.vector == nil {
			head = append(head, p.name+" †")
			continue
		}
		head = append(head, newPeerMachine(t, p).version())
	}
	for _, s := range scenarios {
		if !strings.Contains(s.name, os.Getenv("CORTEX_PEERS_SCENARIO")) {
			continue
		}
		row := []string{s.name}
		for _, p := range asked {
			if cell := cmp.Or(p.notMeasured[s.name], p.notMeasured[""]); cell != "" {
				row = append(row, cell+" †")
				continue
			}
			t.Run(s.name+"/"+p.name, func(t *testing.T) {
				row = append(row, newPeerMachine(t, p).try(s))
			})
		}
		rows = append(rows, row)
	}
	fmt.Printf("\n%s", markdown(head, append(rows, sum(rows))))
	fmt.Printf("\nMeasured with `make undo-table` on a machine with %d processors, %s.\n", runtime.NumCPU(), system(t))
}

// system returns the name of the release of the machine.
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

// sum counts the measured cells of each column that are full without a second attempt.
func sum(rows [][]string) []string {
	out := []string{"exact at once, of those measured"}
	for column := 1; len(rows) > 0 && column < len(rows[0]); column++ {
		full, measured := 0, 0
		for _, r := range rows {
			if strings.HasPrefix(r[column], "**full**") {
				full++
			}
			if !strings.HasSuffix(r[column], "†") {
				measured++
			}
		}
		if measured == 0 {
			out = append(out, "–")
			continue
		}
		out = append(out, fmt.Sprintf("%d of %d", full, measured))
	}
	return out
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

// peerMachine is a fresh root with a peer.
type peerMachine struct {
	*testbed.Bed
	peer
	t *testing.T
}

func newPeerMachine(t *testing.T, p peer) *peerMachine {
	t.Helper()
	var bed *testbed.Bed
	if p.suite.Name == "" {
		bed = newMachine(t).Bed
	} else {
		bed = testbed.NewWithSuite(t, p.suite)
	}
	bed.Copy(t, filepath.Join("testdata/peers", p.name), "/usr/bin/pm")
	s := &peerMachine{Bed: bed, peer: p, t: t}
	if p.begin != nil {
		p.begin(t, bed)
	}
	s.sh("pm begin")
	return s
}

func (s *peerMachine) version() string {
	s.t.Helper()
	return strings.TrimSpace(s.Run(s.t, "/usr/bin/pm", "version"))
}

// newest returns the newest transaction of the tool's history, in the tool's own form.
func (s *peerMachine) newest() string {
	out, code := s.Try("/usr/bin/pm", "newest")
	if code != 0 {
		s.t.Logf("the history command: exit %d: %s", code, out)
	}
	return out
}

// sh runs a script and fails the test if the script fails.
func (s *peerMachine) sh(script string) {
	s.t.Helper()
	s.log(script, s.Run(s.t, "/bin/sh", "-ec", script), 0)
}

// attempt runs a script that may fail.
func (s *peerMachine) attempt(script string) int {
	out, code := s.Try("/bin/sh", "-c", script)
	s.log(script, out, code)
	return code
}

func (s *peerMachine) log(script, out string, code int) {
	if os.Getenv("CORTEX_PEERS_LOG") != "" {
		s.t.Logf("$ %s\n%s→ %d", script, out, code)
	}
}

// try runs a scenario and returns the cell of the table.
func (s *peerMachine) try(sc scenario) string {
	s.WriteFile(s.t, "/run/toy-slow.go", "")
	s.sh(sc.prepare)
	before, newest := s.vector(s.t, s.Bed), s.newest()
	s.do(sc)
	done := s.vector(s.t, s.Bed)
	if maps.Equal(before, done) && sc.name != "reinstall" {
		s.t.Errorf("the command changed nothing, so the scenario tests nothing")
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
	after := s.vector(s.t, s.Bed)
	if sc.redo {
		if !maps.Equal(before, after) {
			s.t.Logf("before the redo: %s", judge(before, done, after, code))
		}
		code = s.attempt("pm redo")
		return judge(done, after, s.vector(s.t, s.Bed), code)
	}
	cell := judge(before, done, after, code)
	if sc.later != "" && code == 0 && installed(done, sc.later) && !installed(after, sc.later) {
		cell = "removes " + sc.later + " of the later transaction without asking; " + cell
	}
	if sc.further == "" || code == 0 || maps.Equal(before, after) {
		return cell
	}
	if code = s.attempt(sc.further); code == 64 {
		return cell
	}
	return cell + "; " + sc.label + ": " + judge(before, done, s.vector(s.t, s.Bed), code)
}

// do makes the change that is undone later.
func (s *peerMachine) do(sc scenario) {
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

// forget deletes the replaced versions from the archive and from the tool's cache.
func (s *peerMachine) forget() {
	s.t.Helper()
	s.OfferNewest(s.t)
	s.sh("pm forget")
}
