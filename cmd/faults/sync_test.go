package faults_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"cortex/cmd/ids"
	"cortex/consumers/machine/blobstore"
	"cortex/embedded/natslog"
	"cortex/events"
)

// writerEnv is the environment variable that makes the test binary a writer of durable data.
const writerEnv = "CORTEX_TEST_WRITER"

// runWriter performs the write that each line of its input names, and acknowledges a write
// when it is durable.
func runWriter(dir string) int {
	err := writeOnRequest(dir)
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	return 0
}

func writeOnRequest(dir string) error {
	b, err := natslog.Open(context.Background(), natslog.Config{Dir: dir, Create: true, MaxBytes: 120_000, Now: time.Now, NewID: ids.New})
	if err != nil {
		return err
	}
	v, err := blobstore.Open(filepath.Join(dir, "vault"))
	if err != nil {
		return err
	}
	fmt.Println("done opened")
	lines := bufio.NewScanner(os.Stdin)
	for n := 1; lines.Scan(); n++ {
		switch lines.Text() {
		case "fact":
			_, err = request(b.Log(), time.Now, n, strings.Repeat("words ", 500))
		case "request":
			var e events.Event
			id := ids.New()
			if e, err = events.NewRequestEvent(events.Event{
				ID: id, Host: b.Host(), Subject: events.TransactionSubject(events.TransactionID(id)), Transaction: events.TransactionID(id), Time: time.Now(),
			}, &events.CancelRequest{Reason: "for a test"}); err == nil {
				_, err = b.Submit(context.Background(), e)
			}
		case "content":
			_, err = v.Put(fmt.Appendf(nil, "content %d", n))
		case "secret":
			_, err = v.PutSecret(fmt.Appendf(nil, "secret %d", n))
		}
		if err != nil {
			return err
		}
		fmt.Println("done", lines.Text())
	}
	return b.Close()
}

// Every acknowledged write must be synced before its acknowledgement. The test traces system
// calls: killing the process would not detect a missing sync, because the kernel keeps the
// written data.
func TestAcknowledgedWritesAreSynced(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CORTEX_TESTBED") == "require" {
			t.Fatal("strace is missing: 'make deps' installs it")
		}
		t.Log("strace is missing: syncs are not checked")
		return
	}
	runs := 1
	if longForm() {
		runs = 30
	}
	for range runs {
		traceWriter(t, strace)
	}
}

// traceWriter runs the writer once and checks its trace.
func traceWriter(t *testing.T, strace string) {
	t.Helper()
	const rounds = 10
	dir := t.TempDir()
	traced := filepath.Join(dir, "trace")
	cmd := exec.Command(strace, "-f", "-y", "-s", "64", "-o", traced,
		"-e", "trace=openat,write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2", os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+filepath.Join(dir, "state"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	replies := bufio.NewScanner(out)
	expect := func(what string) {
		if !replies.Scan() || replies.Text() != "done "+what {
			t.Fatalf("the writer replied %q to %q", replies.Text(), what)
		}
	}
	expect("opened")
	for range rounds {
		for _, what := range []string{"fact", "request", "content", "fact", "secret"} {
			_, err := fmt.Fprintln(in, what)
			check(t, err)
			expect(what)
		}
	}
	check(t, in.Close())
	check(t, cmd.Wait())
	f, err := os.Open(traced)
	check(t, err)
	defer f.Close()
	c := traceChecker{t: t, state: filepath.Join(dir, "state"), begun: map[string]string{}, known: map[string]bool{}, dirty: map[string]bool{}, again: map[string]bool{}, wrote: map[string]int{}}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		c.line(lines.Text())
	}
	if want := 5*rounds + 1; c.acks != want {
		t.Errorf("%d acknowledgements are in the trace, want %d", c.acks, want)
	}
	if c.files < 3 {
		t.Errorf("the log has only %d files: the test does not cover new files", c.files)
	}
	if c.manifests < 2 {
		t.Errorf("the manifest was replaced %d times", c.manifests)
	}
}

// traceChecker checks the trace of one process.
type traceChecker struct {
	t         *testing.T
	state     string
	begun     map[string]string // thread → call that has not ended
	known     map[string]bool   // opened files; true if they are opened with O_SYNC
	dirty     map[string]bool   // changed files and directories that are not synced
	again     map[string]bool   // files that were written during a sync
	wrote     map[string]int    // changes since the last acknowledgement, by kind
	acks      int               // acknowledgements
	files     int               // of facts
	manifests int
}

var (
	traceLine = regexp.MustCompile(`^(\d+) +(.*)$`)
	resumed   = regexp.MustCompile(`^<\.\.\. \w+ resumed>(.*)$`)
	onFile    = regexp.MustCompile(`^(\w+)\(\d+<([^>]*)>(.*)$`)
	renames   = regexp.MustCompile(`^rename\w*\((?:\w+(?:<([^>]*)>)?, )?"([^"]*)", (?:\w+(?:<([^>]*)>)?, )?"([^"]*)".* = 0$`)
	opens     = regexp.MustCompile(`^openat\(\w+(?:<([^>]*)>)?, "([^"]*)", (\S+),.* = \d+<`)
	succeeded = regexp.MustCompile(` = \d+(<.*>)?$`)
)

// line processes one line: a call, the beginning of a call, or its end.
func (c *traceChecker) line(s string) {
	m := traceLine.FindStringSubmatch(s)
	if m == nil {
		return
	}
	thread, call := m[1], m[2]
	if begin, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
		c.begun[thread] = begin
		c.starts(begin)
		return
	}
	if end := resumed.FindStringSubmatch(call); end != nil {
		call = c.begun[thread] + end[1]
	} else {
		c.starts(call)
	}
	if succeeded.MatchString(call) {
		c.ends(call)
	}
}

// starts processes the beginning of a call. A sync does not cover writes after its beginning,
// and the test can read an acknowledgement before the call ends.
func (c *traceChecker) starts(call string) {
	m := onFile.FindStringSubmatch(call)
	switch {
	case m == nil:
	case m[1] == "fsync" || m[1] == "fdatasync":
		c.again[m[2]] = false
	case strings.Contains(call, `"done `):
		_, what, _ := strings.Cut(call, `"done `)
		c.acknowledged(strings.TrimRight(what[:strings.IndexAny(what, "\\\"")], "\n"))
	case strings.HasPrefix(m[2], c.state) && !c.known[m[2]]:
		c.dirty[m[2]], c.again[m[2]] = true, true
		c.wrote[kindOf(m[2])]++
	}
}

// ends processes the end of a successful call.
func (c *traceChecker) ends(call string) {
	if m := opens.FindStringSubmatch(call); m != nil {
		name := inDirectory(m[1], m[2])
		_, known := c.known[name]
		c.known[name] = strings.Contains(m[3], "O_SYNC")
		if kind := kindOf(name); !known && strings.Contains(m[3], "O_CREAT") && (kind == "fact" || kind == "request") {
			c.dirty[nameIn(filepath.Dir(name))] = true // the directory entry must be synced too
			if kind == "fact" {
				c.files++
			}
		}
		return
	}
	if m := renames.FindStringSubmatch(call); m != nil {
		from, to := inDirectory(m[1], m[2]), inDirectory(m[3], m[4])
		switch {
		case !c.dirty[from]:
		case c.acks == 0 && kindOf(to) == "description":
			c.dirty[to] = true // a new store must be synced only when it is acknowledged
		default:
			c.t.Errorf("%s was renamed before it was synced", to)
		}
		delete(c.dirty, from)
		if filepath.Base(to) == "manifest.json" {
			c.manifests++
		}
		c.dirty[filepath.Dir(to)], c.again[filepath.Dir(to)] = true, true
		return
	}
	m := onFile.FindStringSubmatch(call)
	if m != nil && (m[1] == "fsync" || m[1] == "fdatasync") && strings.HasSuffix(call, " = 0") && !c.again[m[2]] {
		delete(c.dirty, m[2])
		delete(c.dirty, nameIn(m[2]))
	}
}

// inDirectory resolves a path relative to the directory descriptor of a call.
func inDirectory(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// nameIn stands for the directory entry of a log file.
func nameIn(dir string) string { return dir + "/*.blk" }

// kindOf returns the kind of data that a file belongs to.
func kindOf(path string) string {
	switch {
	case strings.Contains(path, natslog.FactsStream) && strings.HasSuffix(path, ".blk"):
		return "fact"
	case strings.Contains(path, natslog.RequestsStream) && strings.HasSuffix(path, ".blk"):
		return "request"
	case strings.HasSuffix(path, "/meta.inf"), strings.HasSuffix(path, "/meta.sum"):
		return "description"
	case strings.Contains(path, "/vault/contents"):
		return "content"
	case strings.Contains(path, "/vault/secrets"):
		return "secret"
	}
	return ""
}

// acknowledged checks that all durable data is synced.
func (c *traceChecker) acknowledged(what string) {
	c.acks++
	if what != "opened" && c.wrote[what] == 0 {
		c.t.Errorf("acknowledgement %d: no write of a %s", c.acks, what)
	}
	clear(c.wrote)
	for path := range c.dirty {
		if kindOf(path) != "" || what == "opened" && path == c.state {
			c.t.Errorf("acknowledgement %d, of a %s: %s is not synced", c.acks, what, path)
			delete(c.dirty, path) // report it once
		}
	}
}
