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

// head is the log's end.
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

// killedAt runs a command and kills the daemon, with SIGKILL, as soon as the n-th
// fact is on record that follows from it. It gives that fact's kind, or "" when
// there were fewer.
func (m *machine) killedAt(n int, args ...string) events.Kind {
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
	_ = cmd.Wait()                                // it goes on with the next daemon
	late := time.NewTimer(500 * time.Millisecond) // for what follows the end
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

// boundaries are the facts of a transaction after which the short form kills: right
// before apt may begin, while it runs, and right after it.
var boundaries = []int{3, 6, 8}

// The daemon dies after each single fact of an installation, a purge and an undo.
// Each time history tells the truth, and the way back leads to the same place.
func TestADaemonKilledAtEveryFactLeavesATrueHistoryThatCanBeUndone(t *testing.T) {
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
				if !m.killedAndBack(n, tc.prepare, tc.do) {
					break
				}
				tried++
			}
			if tried < len(boundaries) {
				t.Errorf("only %d facts were tried", tried)
			}
			m.sound()
		})
	}
}

// killedAndBack does it once, with the daemon dying after the n-th fact, and goes
// back to where the machine was. It is false when there was no such fact.
func (m *machine) killedAndBack(n int, prepare, do []string) bool {
	m.t.Helper()
	begin := m.FullState(m.t)
	if prepare != nil {
		m.must(0, prepare...)
	}
	kind := m.killedAt(n, do...)
	m.settled()
	m.truth()
	m.t.Logf("%s: the daemon died after fact %d, %s: %s", do[0], n, kind, m.show("last").State)
	if r := m.cortex("rollback", "--to", "1", "--yes"); r.code != 0 && !cmp.Equal(begin, m.FullState(m.t)) {
		m.t.Fatalf("rollback exits %d\n%s%s", r.code, r.out, r.err)
	}
	m.vector(begin)
	m.truth()
	return kind != "" && !m.t.Failed()
}
