package doctor_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cortex/cmd/doctor"
)

func TestRunChecksKeepsOrder(t *testing.T) {
	slow := make(chan struct{})
	got := doctor.RunChecks(t.Context(), []doctor.Check{
		{Name: "a", Run: func(context.Context) []doctor.Finding { <-slow; return doctor.ProblemFinding("x", "y") }},
		{Name: "b", Run: func(context.Context) []doctor.Finding {
			defer close(slow)
			return append(doctor.OKFinding("1"), doctor.NoteFinding("2", "3")...)
		}},
	})
	want := []doctor.Finding{{"a", doctor.Problem, "x", "y"}, {"b", doctor.OK, "1", ""}, {"b", doctor.Note, "2", "3"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if doctor.Healthy(got) || !doctor.Healthy(got[1:]) {
		t.Error("Healthy accepts a problem, or refuses a note")
	}
}

func TestCheckStateDir(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o720); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir  string
		uid  int
		want doctor.Severity
	}{
		"valid":             {dir, os.Getuid(), doctor.OK},
		"missing":           {filepath.Join(dir, "none"), os.Getuid(), doctor.OK},
		"a file":            {file, os.Getuid(), doctor.Problem},
		"below a file":      {filepath.Join(file, "x"), os.Getuid(), doctor.Problem},
		"writable by group": {open, os.Getuid(), doctor.Problem},
		"another owner":     {dir, os.Getuid() + 1, doctor.Problem},
	} {
		t.Run(name, func(t *testing.T) {
			got := doctor.CheckStateDir(c.dir, c.uid, false)(t.Context())
			if len(got) != 1 || got[0].Severity != c.want || (got[0].Fix == "") != (c.want == doctor.OK) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestCheckClockBehindRecords(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for ahead, want := range map[time.Duration]doctor.Severity{0: doctor.OK, time.Second: doctor.OK, time.Hour: doctor.Problem, -time.Hour: doctor.OK} {
		if got := doctor.CheckClock(now, now.Add(ahead)); got[0].Severity != want {
			t.Errorf("%s: %+v", ahead, got)
		}
	}
	if got := doctor.CheckClock(now, time.Time{}); got[0].Severity != doctor.OK {
		t.Errorf("%+v", got)
	}
}
