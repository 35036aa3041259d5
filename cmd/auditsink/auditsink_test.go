package auditsink_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"cortex/cmd/auditsink"
	"cortex/events"
	"cortex/events/logtest"
	"cortex/events/memlog"
)

// TestMain runs the test binary as a copier that a test kills.
func TestMain(m *testing.M) {
	if from := os.Getenv("COPY_FROM"); from != "" {
		if err := runCopier(from, os.Getenv("COPY_TO")); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// runCopier copies the events of one file into another.
func runCopier(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var list []events.Record
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var r events.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		list = append(list, r)
	}
	sink, err := auditsink.OpenFileSink(to)
	if err != nil {
		return err
	}
	return errors.Join(auditsink.Run(context.Background(), sourceOf(list), sink), sink.Close())
}

func sourceOf(list []events.Record) auditsink.RecordSource {
	return func(ctx context.Context, after events.Position) iter.Seq2[events.Record, error] {
		return func(yield func(events.Record, error) bool) {
			for _, r := range list {
				if r.Position > after && !yield(r, nil) {
					return
				}
			}
		}
	}
}

func facts(t *testing.T, n int) []events.Record {
	t.Helper()
	log := memlog.New("01940000-0000-7000-8000-000000000001")
	for range n {
		logtest.Append(t, log, logtest.NewTransaction(), &events.StepFailed{Output: "x", Failure: events.Failure{Message: "<&>"}})
	}
	return logtest.ReadAll(t, log, events.Query{})
}

func lines(t *testing.T, list []events.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, r := range list {
		if err := e.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func copyTo(t *testing.T, list []events.Record, path string) {
	t.Helper()
	sink, err := auditsink.OpenFileSink(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(auditsink.Run(t.Context(), sourceOf(list), sink), sink.Close()); err != nil {
		t.Fatal(err)
	}
}

// A kill can truncate the file at any byte and leave the checkpoint of any earlier line.
func TestFileSinkContinuesAfterTruncation(t *testing.T) {
	list := facts(t, 2)
	want := lines(t, list)
	positions := []string{""}
	for n := range list {
		path := filepath.Join(t.TempDir(), "f")
		copyTo(t, list[:n+1], path)
		positions = append(positions, string(read(t, auditsink.CheckpointPath(path))))
	}
	dir := t.TempDir()
	for _, cut := range cuts(want) {
		whole := bytes.Count(want[:cut], []byte("\n"))
		for known := range whole + 1 {
			path := filepath.Join(dir, "f")
			if err := os.WriteFile(path, want[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(auditsink.CheckpointPath(path))
			if known > 0 {
				if err := os.WriteFile(auditsink.CheckpointPath(path), []byte(positions[known]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			copyTo(t, list, path)
			if got := read(t, path); !bytes.Equal(got, want) {
				t.Fatalf("truncated at byte %d with checkpoint %d:\n%s", cut, known, got)
			}
		}
	}
}

// cuts returns some offsets inside lines and all offsets around their ends.
func cuts(b []byte) []int {
	var out []int
	for n := range len(b) + 1 {
		if n%29 == 0 || bytes.ContainsRune(b[max(0, n-2):min(len(b), n+2)], '\n') || n == len(b) {
			out = append(out, n)
		}
	}
	return out
}

func TestFileSinkKilledProcessCopiesEachFactOnce(t *testing.T) {
	list := facts(t, 3000)
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	if err := os.WriteFile(from, lines(t, list), 0o600); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	killed := 0
	for done := false; !done; {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "COPY_FROM="+from, "COPY_TO="+to)
		var errOut bytes.Buffer
		cmd.Stderr = &errOut
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		grown := int64(random.IntN(len(read(t, from)) / 8))
		if info, err := os.Stat(to); err == nil {
			grown += info.Size()
		}
		if killed < 8 { // kill it when the file has this size
			for {
				if info, err := os.Stat(to); err == nil && info.Size() >= grown {
					break
				}
				select {
				case err := <-ended:
					ended <- err
				default:
					continue
				}
				break
			}
			_ = cmd.Process.Kill()
			killed++
		}
		err := <-ended
		done = err == nil
		if !done && errOut.Len() > 0 {
			t.Fatalf("%v: %s", err, errOut.String())
		}
	}
	if !bytes.Equal(read(t, to), read(t, from)) {
		t.Error("the copy differs from the source")
	}
}

func TestFileSinkContinuesAfterRotation(t *testing.T) {
	list := facts(t, 5)
	path := filepath.Join(t.TempDir(), "f")
	sink, err := auditsink.OpenFileSink(path)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	write := func(r []events.Record) {
		t.Helper()
		if err := sink.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	write(list[:2])
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(list[2:4])
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	copyTo(t, list, path)
	got := append(append(read(t, path+".1"), read(t, path+".2")...), read(t, path)...)
	if !bytes.Equal(got, lines(t, list)) {
		t.Errorf("%s", got)
	}
}

func TestRunRefusesBrokenChain(t *testing.T) {
	list := facts(t, 5)
	changed := append([]events.Record(nil), list...)
	changed[3].Actor.UID++
	for name, bad := range map[string][]events.Record{"a gap": append(append([]events.Record(nil), list[:2]...), list[3:]...), "a change": changed} {
		path := filepath.Join(t.TempDir(), "f")
		sink, err := auditsink.OpenFileSink(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := auditsink.Run(t.Context(), sourceOf(bad), sink); !errors.Is(err, events.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenFileSinkRefusesLockedAndForeignFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	sink, err := auditsink.OpenFileSink(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := auditsink.OpenFileSink(path); !errors.Is(err, events.ErrConflict) {
		t.Errorf("a second sink: %v", err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("my diary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auditsink.OpenFileSink(path); !errors.Is(err, events.ErrUsage) {
		t.Errorf("a file without events: %v", err)
	}
	if string(read(t, path)) != "my diary\n" {
		t.Error("the file was changed")
	}
}

func TestSyslogSinkSendsEachFactOnce(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "log")
	server, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	list := facts(t, 6)
	for _, part := range [][]events.Record{list[:4], list} {
		sink, err := auditsink.OpenSyslogSink(socket, filepath.Join(dir, "position"))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(auditsink.Run(t.Context(), sourceOf(part), sink), sink.Close()); err != nil {
			t.Fatal(err)
		}
	}
	b := make([]byte, 64<<10)
	for _, r := range list {
		n, err := server.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got := string(b[:n])
		if !strings.HasPrefix(got, "<85>") || !strings.Contains(got, r.Hash.String()) || !strings.Contains(got, string(r.ID)) {
			t.Errorf("event %d: %s", r.Position, got)
		}
	}
}
