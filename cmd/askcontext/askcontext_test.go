package askcontext_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cortex/cmd/askcontext"
	"cortex/consumers/machine/apt"
	"cortex/embedded/pkgindex"
	"cortex/events"
	"cortex/projections/history"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a program of the machine that has already ended.
type program struct{ err error }

func (program) PID() int      { return 1 }
func (p program) Wait() error { return p.err }
func (program) Kill()         {}

// bench holds the sources of the context: a root with the kernel's list of sockets,
// and a dpkg that knows nginx.
type bench struct {
	t       *testing.T
	sources askcontext.ContextSources
	filters []history.Filter // that history was read with
	rows    []history.TransactionRow
	ran     []string // programs
}

func setup(t *testing.T) *bench {
	b := &bench{t: t}
	root := t.TempDir()
	sockets := "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n" +
		"   0: 0100007F:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n" +
		"   1: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1\n"
	if err := os.MkdirAll(filepath.Join(root, "proc/net"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "proc/net/tcp"), []byte(sockets), 0o600); err != nil {
		t.Fatal(err)
	}
	b.rows = []history.TransactionRow{
		{Number: 7, Verb: events.VerbInstall, Summary: "nginx", State: events.StateFailed, RequestedAt: time.Unix(1, 0), Failure: &events.Failure{Message: "disk is full"}},
		{Number: 6, Verb: events.VerbInstall, Summary: "a-dry-run", State: events.StatePlanned, DryRun: true},
	}
	b.sources = askcontext.ContextSources{
		Root:    root,
		Machine: apt.New(apt.Config{Root: root, Start: b.start}),
		History: func(_ context.Context, f history.Filter) ([]history.TransactionRow, error) {
			b.filters = append(b.filters, f)
			return b.rows, nil
		},
		Hardware: func(context.Context) ([]events.HardwareFact, error) {
			return []events.HardwareFact{{Key: "cpu.model", Value: events.TextValue("Test CPU"), Source: "test", Confidence: events.ConfidenceCertain}}, nil
		},
	}
	return b
}

// start runs dpkg and dpkg-query in memory.
func (b *bench) start(cmd *exec.Cmd) (apt.Child, error) {
	b.ran = append(b.ran, strings.Join(cmd.Args, " "))
	out := ""
	switch {
	case slices.Contains(cmd.Args, "--print-architecture"):
		out = "amd64\n"
	case slices.Contains(cmd.Args, "-W"):
		out = "nginx\tamd64\t1.22\tinstall\tok\tinstalled\n" + "gone\tamd64\t1\tdeinstall\tok\tconfig-files\n" + "find\tamd64\t1\tinstall\tok\tinstalled\n"
		for i := range 10 {
			out += fmt.Sprintf("toy%d\tamd64\t1\tinstall\tok\tinstalled\n", i)
		}
	default:
		return program{errors.New("not found")}, nil
	}
	_, err := io.WriteString(cmd.Stdout, out)
	return program{}, err
}

// index adds a package index that offers cowsay.
func (b *bench) index() {
	b.t.Helper()
	lists := b.t.TempDir()
	text := "Package: cowsay\nVersion: 3.03\nArchitecture: all\nDescription: configurable talking cow\n\n"
	if err := os.WriteFile(filepath.Join(lists, "x_dists_y_main_binary-amd64_Packages"), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.t.TempDir(), "index")
	if err := pkgindex.Build(b.t.Context(), pkgindex.Config{Dirs: []string{lists}, Path: path}); err != nil {
		b.t.Fatal(err)
	}
	index, err := pkgindex.Open(b.t.Context(), path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = index.Close() })
	b.sources.Catalog = index
}

func (b *bench) gather(question string) []events.Evidence {
	b.t.Helper()
	return askcontext.Gather(b.t.Context(), b.sources, question)
}

func TestContextSourcesFollowTheQuestion(t *testing.T) {
	for question, want := range map[string]map[string]string{ // source: a part of its text
		"Which program uses port 80?":    {"/proc/net": "127.0.0.1:80"},
		"what is listening":              {"/proc/net": "127.0.0.1:22"},
		"is port 4444 free":              {"/proc/net": "4444"},
		"do I have nginx":                {"dpkg and the package lists": "nginx: installed, version 1.22", "history of nginx": "disk is full"},
		"what changed yesterday":         {"history": "transaction 7"},
		"how much memory do I have":      {"hardware": "Test CPU"},
		"is there free space":            {"statfs /": "GB"},
		"something with a talking cow":   {"package lists": "cowsay: configurable talking cow"},
		"tell me about cowsay":           {"dpkg and the package lists": "cowsay: not installed; offered: 3.03; configurable talking cow", "history of cowsay": "transaction 7"},
		"please find and run less files": {},
	} {
		b := setup(t)
		b.index()
		got := b.gather(question)
		for _, e := range got {
			part, ok := want[e.Source]
			if !ok || !strings.Contains(e.Text, part) {
				t.Errorf("%q: %s has %q, want %q", question, e.Source, e.Text, part)
			}
			delete(want, e.Source)
		}
		if len(want) > 0 {
			t.Errorf("%q: %v is missing in %v", question, want, got)
		}
	}
}

func TestContextNamesOnlyAskedPorts(t *testing.T) {
	b := setup(t)
	got := b.gather("who listens on port 80")
	if len(got) != 1 || !strings.Contains(got[0].Text, ":80") || strings.Contains(got[0].Text, ":22") {
		t.Errorf("%v", got)
	}
}

func TestContextReadsHistoryOfNamedPackage(t *testing.T) {
	b := setup(t)
	got := b.gather("nginx nginx?")
	if len(b.filters) != 1 || b.filters[0].Package != "nginx" || b.filters[0].Limit == 0 {
		t.Errorf("history was read with %+v", b.filters)
	}
	for _, e := range got {
		if strings.Contains(e.Text, "a-dry-run") {
			t.Errorf("a dry run counts as history: %q", e.Text)
		}
	}
}

func TestContextIgnoresRemovedPackages(t *testing.T) {
	if got := setup(t).gather("gone"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestContextChangesNothing(t *testing.T) {
	b := setup(t)
	b.gather("port 80, nginx history, hardware, disk space; $(rm -rf /) --purge")
	for _, argv := range b.ran {
		if !strings.HasPrefix(argv, "dpkg --print-architecture") && !strings.HasPrefix(argv, "dpkg-query ") {
			t.Errorf("it ran %q", argv)
		}
	}
}

func TestContextIsBoundedAndSanitized(t *testing.T) {
	b := setup(t)
	b.rows = nil
	for i := range 60 {
		b.rows = append(b.rows, history.TransactionRow{Number: i, Summary: "\x1b[31m" + strings.Repeat("x", 100)})
	}
	total, histories := 0, 0
	for _, e := range b.gather("toy1 toy2 toy3 toy4 toy5 toy6 toy7 toy8 toy9: what changed?") {
		total += len(e.Source) + len(e.Text)
		if strings.HasPrefix(e.Source, "history") {
			histories++
		}
		if len(e.Text) > 4<<10 || strings.ContainsRune(e.Text, 0x1b) {
			t.Errorf("%s has %d bytes: %.40q", e.Source, len(e.Text), e.Text)
		}
	}
	if histories != 5 || total > events.MaxEvidenceBytes {
		t.Errorf("%d histories with %d bytes in all", histories, total)
	}
}

func TestContextWithoutSourcesIsEmpty(t *testing.T) {
	b := setup(t)
	b.sources.History, b.sources.Hardware = nil, nil
	for _, question := range []string{"what changed", "hardware", "a talking cow", ""} {
		if got := b.gather(question); len(got) != 0 {
			t.Errorf("%q: %v", question, got)
		}
	}
	b.sources.Hardware = func(context.Context) ([]events.HardwareFact, error) { return nil, fmt.Errorf("no rights") }
	if got := b.gather("hardware"); len(got) != 1 || !strings.Contains(got[0].Text, "no rights") {
		t.Errorf("an error is not shown: %v", got)
	}
}
