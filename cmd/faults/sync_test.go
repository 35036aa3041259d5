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

// appendingVariable makes the test binary a process that writes what must be durable.
const appendingVariable = "CORTEX_TEST_APPENDING"

// appending does what each line it reads names, and says so once it is done and may
// be relied upon.
func appending(dir string) int {
	err := serve(dir)
	if err != nil {
		fmt.Println("error", err)
		return 1
	}
	return 0
}

func serve(dir string) error {
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

// What is said to be done has been synced before it is said: the calls to the kernel
// are watched. A test that only kills processes cannot tell, for the kernel keeps
// what they wrote.
func TestWhatIsAcknowledgedHasBeenSynced(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CORTEX_TESTBED") == "require" {
			t.Fatal("strace is missing: 'make deps' installs it")
		}
		t.Log("strace is missing: what is synced is not watched here")
		return
	}
	runs := 1
	if long() {
		runs = 30
	}
	for range runs {
		watched(t, strace)
	}
}

// watched runs the process once and judges its trace.
func watched(t *testing.T, strace string) {
	t.Helper()
	const rounds = 10
	dir := t.TempDir()
	traced := filepath.Join(dir, "trace")
	cmd := exec.Command(strace, "-f", "-y", "-s", "64", "-o", traced,
		"-e", "trace=openat,write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2", os.Args[0])
	cmd.Env = append(os.Environ(), appendingVariable+"="+filepath.Join(dir, "state"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	said := bufio.NewScanner(out)
	expect := func(what string) {
		if !said.Scan() || said.Text() != "done "+what {
			t.Fatalf("it says %q", said.Text())
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
	j := judge{t: t, state: filepath.Join(dir, "state"), begun: map[string]string{}, known: map[string]bool{}, dirty: map[string]bool{}, again: map[string]bool{}, wrote: map[string]int{}}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		j.line(lines.Text())
	}
	if want := 5*rounds + 1; j.done != want {
		t.Errorf("%d acknowledgements are in the trace, want %d", j.done, want)
	}
	if j.files < 3 {
		t.Errorf("the log has only %d files: nothing is tried of new ones", j.files)
	}
	if j.manifests < 2 {
		t.Errorf("the manifest was replaced %d times", j.manifests)
	}
}

// judge reads the trace of one process.
type judge struct {
	t         *testing.T
	state     string
	begun     map[string]string // thread → a call that has not ended
	known     map[string]bool   // files that were opened; true when every write to them is synced
	dirty     map[string]bool   // files and directories that were changed and not synced
	again     map[string]bool   // files that were written while they were being synced
	wrote     map[string]int    // changes since the last acknowledgement, by kind
	done      int
	files     int // of facts
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

// line takes in one line: a call, the beginning of one, or the end of one.
func (j *judge) line(s string) {
	m := traceLine.FindStringSubmatch(s)
	if m == nil {
		return
	}
	thread, call := m[1], m[2]
	if begin, ok := strings.CutSuffix(call, " <unfinished ...>"); ok {
		j.begun[thread] = begin
		j.starts(begin)
		return
	}
	if end := resumed.FindStringSubmatch(call); end != nil {
		call = j.begun[thread] + end[1]
	} else {
		j.starts(call)
	}
	if succeeded.MatchString(call) {
		j.ends(call)
	}
}

// starts: what is written from now on is not in the sync that begins now; and what
// is being said may be read before the call ends.
func (j *judge) starts(call string) {
	m := onFile.FindStringSubmatch(call)
	switch {
	case m == nil:
	case m[1] == "fsync" || m[1] == "fdatasync":
		j.again[m[2]] = false
	case strings.Contains(call, `"done `):
		_, what, _ := strings.Cut(call, `"done `)
		j.acknowledged(strings.TrimRight(what[:strings.IndexAny(what, "\\\"")], "\n"))
	case strings.HasPrefix(m[2], j.state) && !j.known[m[2]]:
		j.dirty[m[2]], j.again[m[2]] = true, true
		j.wrote[kindOf(m[2])]++
	}
}

func (j *judge) ends(call string) {
	if m := opens.FindStringSubmatch(call); m != nil {
		name := inDirectory(m[1], m[2])
		_, known := j.known[name]
		j.known[name] = strings.Contains(m[3], "O_SYNC")
		if kind := kindOf(name); !known && strings.Contains(m[3], "O_CREAT") && (kind == "fact" || kind == "request") {
			j.dirty[nameIn(filepath.Dir(name))] = true // the new name must be synced, too
			if kind == "fact" {
				j.files++
			}
		}
		return
	}
	if m := renames.FindStringSubmatch(call); m != nil {
		from, to := inDirectory(m[1], m[2]), inDirectory(m[3], m[4])
		switch {
		case !j.dirty[from]:
		case j.done == 0 && kindOf(to) == "description":
			j.dirty[to] = true // what is being made counts when it is said to be there
		default:
			j.t.Errorf("%s was put into place before it was synced", to)
		}
		delete(j.dirty, from)
		if filepath.Base(to) == "manifest.json" {
			j.manifests++
		}
		j.dirty[filepath.Dir(to)], j.again[filepath.Dir(to)] = true, true
		return
	}
	m := onFile.FindStringSubmatch(call)
	if m != nil && (m[1] == "fsync" || m[1] == "fdatasync") && strings.HasSuffix(call, " = 0") && !j.again[m[2]] {
		delete(j.dirty, m[2])
		delete(j.dirty, nameIn(m[2]))
	}
}

// inDirectory resolves the path of a call against the directory descriptor of the call.
func inDirectory(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// nameIn stands for the name of a log's file in a directory.
func nameIn(dir string) string { return dir + "/*.blk" }

// kindOf tells what a file is part of.
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

// acknowledged: nothing that must last may be unsynced now.
func (j *judge) acknowledged(what string) {
	j.done++
	if what != "opened" && j.wrote[what] == 0 {
		j.t.Errorf("acknowledgement %d: a %s was written nowhere", j.done, what)
	}
	clear(j.wrote)
	for path := range j.dirty {
		if kindOf(path) != "" || what == "opened" && path == j.state {
			j.t.Errorf("acknowledgement %d, of a %s: %s is not synced", j.done, what, path)
			delete(j.dirty, path) // said once
		}
	}
}
