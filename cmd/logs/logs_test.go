package logs_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cortex/cmd/logs"
	"cortex/events"
)

func read(t *testing.T, text string, f logs.Filter) (out []logs.Entry) {
	t.Helper()
	for e, err := range logs.Read(strings.NewReader(text), f) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func TestReadReturnsWrittenRecords(t *testing.T) {
	var b bytes.Buffer
	l := slog.New(logs.NewHandler(&b))
	l.Info("daemon started", "socket", "/run/x")
	l.Error("it failed", "error", &events.Error{Op: "natslog.Open", Kind: events.ErrCorrupt, Subject: "log", Err: errors.New("cut")})
	got := read(t, b.String(), logs.Filter{})
	if len(got) != 2 || got[0].Message != "daemon started" || got[0].Attrs["socket"] != "/run/x" || got[0].Time.IsZero() {
		t.Fatalf("%+v", got)
	}
	if e := got[1]; e.Op != "natslog.Open" || e.Level != slog.LevelError || e.Attrs["kind"] != "corrupt" || !strings.Contains(e.Attrs["error"].(string), "cut") {
		t.Errorf("%+v", e)
	}
}

func TestHandlerAndReadRedactSecrets(t *testing.T) {
	const secret = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
	var b bytes.Buffer
	l := slog.New(logs.NewHandler(&b)).With("with", "password="+secret)
	l.Warn("key "+secret, "attr", secret, "error", errors.New("refused: "+secret), slog.Group("g", "in", secret))
	if strings.Contains(b.String(), secret) {
		t.Error(b.String())
	}
	if got := read(t, `{"level":"INFO","msg":"`+secret+`","x":"`+secret+`"}`+"\n"+secret+"\n", logs.Filter{}); strings.Contains(got[0].Message+got[0].Attrs["x"].(string)+got[1].Message, secret) {
		t.Errorf("a secret of the file is shown: %+v", got)
	}
}

func TestReadFilters(t *testing.T) {
	text := `{"time":"2026-11-23T10:00:00Z","level":"INFO","msg":"a"}
{"time":"2026-11-23T11:00:00Z","level":"WARN","msg":"b","op":"apt.Run"}
goroutine 1 [running]:

{"time":"2026-11-23T12:00:00Z","level":"DEBUG","msg":"c","op":"natslog.Open"}
`
	at := time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		f    logs.Filter
		want string
	}{
		"default":      {logs.Filter{}, "a b goroutine 1 [running]:"},
		"debug":        {logs.Filter{MinLevel: slog.LevelDebug}, "a b goroutine 1 [running]: c"},
		"since":        {logs.Filter{Since: at}, "b goroutine 1 [running]:"},
		"errors":       {logs.Filter{MinLevel: slog.LevelError}, "goroutine 1 [running]:"},
		"an operation": {logs.Filter{MinLevel: slog.LevelDebug, OpPrefix: "natslog"}, "c"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range read(t, text, c.f) {
				got = append(got, e.Message)
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestOpenRotatesFullFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.log")
	old := `{"level":"INFO","msg":"old"}` + "\n" + strings.Repeat(`{"level":"DEBUG","msg":"x"}`+"\n", logs.MaxBytes/28+1)
	if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := logs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	slog.New(logs.NewHandler(f)).Info("new")
	f.Close()
	var got []string
	for e, err := range logs.ReadFiles(path, logs.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Message)
	}
	if diff := cmp.Diff([]string{"old", "new"}, got); diff != "" {
		t.Error(diff)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 || info.Size() > 1000 {
		t.Errorf("%v, %d bytes", info.Mode(), info.Size())
	}
}

func TestSummariseGroupsFailures(t *testing.T) {
	e := func(level slog.Level, msg, err string) logs.Entry {
		return logs.Entry{Level: level, Message: msg, Attrs: map[string]any{"error": err}}
	}
	got := logs.Summarise([]logs.Entry{e(slog.LevelWarn, "a", "1"), e(slog.LevelError, "b", "2"), e(slog.LevelInfo, "c", ""), e(slog.LevelError, "d", "3"), e(slog.LevelWarn, "a", "4"), e(slog.LevelError, "b", "5")})
	want := []logs.FailureGroup{{Message: "d", Times: 1, Example: "3"}, {Message: "a", Times: 2, Example: "4"}, {Message: "b", Times: 2, Example: "5"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzRead checks that every line that is not blank is an entry, and that no entry has a line
// break.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"", "{}", `{"msg":1,"level":[]}`, `{"msg":"a\nb","level":"WARN+2","time":"x"}`, "\x00\xff\n\r\n", strings.Repeat("x", 70<<10) + "\ny"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want := 0
		for line := range strings.SplitSeq(s, "\n") {
			if strings.TrimSpace(line) != "" && len(line) < 60<<10 {
				want++
			}
		}
		got := 0
		for e, err := range logs.Read(strings.NewReader(s), logs.Filter{MinLevel: -1 << 30}) {
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(e.Message+e.Op, "\n\x1b") {
				t.Errorf("%q", e)
			}
			got++
		}
		if got < want {
			t.Errorf("%d of %d lines", got, want)
		}
	})
}
