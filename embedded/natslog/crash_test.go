package natslog_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"cortex/embedded/natslog"
	"cortex/events"
	"cortex/events/logtest"
)

// childVariable makes the test binary run runChild instead of the tests.
const childVariable = "CORTEX_TEST_BROKER_CHILD"

// runChild opens a store. In the mode "append" it appends from several goroutines and prints each
// acknowledged event, until it is killed.
func runChild(mode, dir string) int {
	b, err := natslog.Open(context.Background(), natslog.Config{Dir: dir, Create: mode != "open"})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("opened")
	if mode != "append" {
		return 0
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				s := logtest.NewTransaction()
				e, err := events.NewFactEvent(events.Event{ID: logtest.NewID(), Host: b.Host(), Subject: s, Time: time.Now()}, &events.Cancelled{})
				if err != nil {
					return
				}
				r, err := b.Log().Append(context.Background(), e, events.Expect{Subject: s})
				mu.Lock()
				if err != nil {
					fmt.Println("error", err)
				} else {
					fmt.Println("stored", r.Position, r.ID)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return 0
}

// process is a child process. The end of the test kills it.
type process struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func child(t *testing.T, mode, dir string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0]) // this binary
	cmd.Env = append(os.Environ(), childVariable+"="+mode, "DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	p := &process{cmd, bufio.NewReader(out)}
	t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_, _ = p.cmd.Process.Wait()
}

func (p *process) output(t *testing.T) string {
	t.Helper()
	b, err := io.ReadAll(p.out)
	check(t, err)
	return string(b)
}

func TestAppendSurvivesKill9(t *testing.T) {
	dir := t.TempDir()
	acked := map[events.ID]events.Position{}
	for _, lines := range []int{1, 40, 200, 333} {
		p := child(t, "append", dir)
		for i := 0; i < lines; i++ {
			acknowledge(t, p, acked)
		}
		check(t, p.cmd.Process.Kill())
		rest := p.output(t) // its remaining output
		p.out = bufio.NewReader(bytes.NewBufferString(rest))
		for bytes.Count([]byte(rest), []byte("\n")) > 0 {
			if !acknowledge(t, p, acked) {
				break
			}
		}
		p.kill()

		b := open(t, natslog.Config{Dir: dir})
		stored := map[events.ID]events.Position{}
		for _, r := range logtest.VerifyAll(t, b.Log()) {
			stored[r.ID] = r.Position
		}
		for id, at := range acked {
			if stored[id] != at {
				t.Errorf("event %s was acknowledged at %d and is at %d", id, at, stored[id])
			}
		}
		closeBroker(t, b)
	}
	if len(acked) < 500 {
		t.Errorf("only %d events: the test needs more", len(acked))
	}
}

// acknowledge reads one line of a child. It returns false when there is no complete line.
func acknowledge(t *testing.T, p *process, acked map[events.ID]events.Position) bool {
	t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		return false
	}
	if line == "opened\n" {
		return true
	}
	var at events.Position
	var id events.ID
	if _, err := fmt.Sscanf(line, "stored %d %s", &at, &id); err != nil {
		t.Fatalf("the child printed %q", line)
	}
	acked[id] = at
	return true
}

func TestCreateSurvivesKill9(t *testing.T) {
	for after := time.Duration(0); after < 60*time.Millisecond; after += 4 * time.Millisecond {
		dir := t.TempDir()
		p := child(t, "create", dir)
		timer := time.NewTimer(after)
		<-timer.C
		p.kill()
		b := open(t, natslog.Config{Dir: dir, Create: true})
		if got := len(logtest.VerifyAll(t, b.Log())); got != 1 {
			t.Errorf("killed after %s: %d facts", after, got)
		}
		closeBroker(t, b)
	}
}
