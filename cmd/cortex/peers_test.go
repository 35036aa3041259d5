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
	fmt.Printf("\n%s", markdown(head, append(rows, sum(rows))))
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

// sum counts the cells of each column that are measured to be full at once.
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
		bed = testbed.NewWithSuite(t, p.suite)
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
	if sc.later != "" && code == 0 && installed(done, sc.later) && !installed(after, sc.later) {
		cell = "takes " + sc.later + " of the later one away unasked; " + cell
	}
	if sc.further == "" || code == 0 || maps.Equal(before, after) {
		return cell
	}
	if code = s.attempt(sc.further); code == 64 {
		return cell
	}
	return cell + "; " + sc.words + ": " + judge(before, done, s.look(s.t, s.Bed), code)
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
