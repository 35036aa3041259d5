package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
)

// head returns the position of the newest event of the log.
func (m *machine) head() events.Position {
	m.t.Helper()
	var v struct {
		Events []events.Record `json:"events"`
	}
	if err := json.Unmarshal([]byte(m.must(0, "events", "list", "--json").out), &v); err != nil || len(v.Events) == 0 {
		m.t.Fatalf("no events: %v", err)
	}
	return v.Events[len(v.Events)-1].Position
}

// killDaemonAfterFact runs a command and kills the daemon with SIGKILL when the n-th
// fact that the command causes is in the log. It returns the kind of that fact, or "" if
// the command causes fewer.
func (m *machine) killDaemonAfterFact(n int, args ...string) events.Kind {
	m.t.Helper()
	tail := m.Command("/usr/bin/cortex", "events", "tail", "--json", "--after", fmt.Sprint(m.head()), "-n", fmt.Sprint(n))
	out, err := tail.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := tail.Start(); err != nil {
		m.t.Fatal(err)
	}
	seen := make(chan events.Kind, 1)
	go func() {
		defer close(seen)
		var r events.Record
		lines := bufio.NewReader(out)
		for range n {
			line, err := lines.ReadBytes('\n')
			if err != nil || json.Unmarshal(line, &r) != nil {
				return
			}
		}
		m.Kill("/usr/bin/cortex daemon run")
		seen <- r.Kind
	}()
	cmd := m.background(args...)
	_ = cmd.Wait()                                // the command continues with the next daemon
	late := time.NewTimer(500 * time.Millisecond) // for facts after the end of the command
	defer late.Stop()
	select {
	case kind := <-seen:
		_ = tail.Wait()
		return kind
	case <-late.C:
		_ = tail.Process.Kill()
		kind := <-seen
		_ = tail.Wait()
		return kind
	}
}

// boundaries are the facts of a transaction after which the short form kills: before apt
// starts, while it runs, and after it.
var boundaries = []int{3, 6, 8}

// The daemon is killed after each fact of an installation, a purge and an undo. Each time
// the history equals dpkg's state, and a rollback restores the whole state.
func TestDaemonKilledAfterEachFactCanBeUndone(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare []string
		do      []string
	}{
		{"install", nil, []string{"install", "toy-app", "toy-common", "--yes"}},
		{"purge", []string{"install", "toy-app", "toy-common", "--yes"}, []string{"purge", "toy-common", "toy-app", "--yes"}},
		{"undo", []string{"install", "toy-app", "toy-common", "--yes"}, []string{"undo", "--yes"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := setup(t)
			m.must(0, "install", "cowsay", "--yes")
			tried := 0
			for i := 0; ; i++ {
				n := i + 1
				if !long() && i == len(boundaries) {
					break
				}
				if !long() {
					n = boundaries[i]
				}
				if !m.killDaemonAndRollBack(n, tc.prepare, tc.do) {
					break
				}
				tried++
			}
			if tried < len(boundaries) {
				t.Errorf("the daemon was killed after %d facts only", tried)
			}
			m.expectIntact()
		})
	}
}

// killDaemonAndRollBack runs do, kills the daemon after the n-th fact, and rolls the machine
// back. It returns false if do causes fewer than n facts.
func (m *machine) killDaemonAndRollBack(n int, prepare, do []string) bool {
	m.t.Helper()
	begin := m.FullState(m.t)
	if prepare != nil {
		m.must(0, prepare...)
	}
	kind := m.killDaemonAfterFact(n, do...)
	m.waitForAllEnds()
	m.expectTrueHistory()
	m.t.Logf("%s: the daemon was killed after fact %d, %s: the state is %s", do[0], n, kind, m.show("last").State)
	if r := m.cortex("rollback", "--to", "1", "--yes"); r.code != 0 && !cmp.Equal(begin, m.FullState(m.t)) {
		m.t.Fatalf("rollback: exit %d\n%s%s", r.code, r.out, r.err)
	}
	m.expectState(begin)
	m.expectTrueHistory()
	return kind != "" && !m.t.Failed()
}
