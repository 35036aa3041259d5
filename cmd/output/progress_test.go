package output_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"cortex/cmd/output"
	"cortex/events"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestTheLineTellsBytesAndTheTimeLeft(t *testing.T) {
	var b bytes.Buffer
	term := &output.TerminalRenderer{Out: &b, Width: func() int { return 120 }}
	term.SetForecast(output.Forecast{Started: noon, Expected: 12 * time.Second, DownloadBytes: 2_000_000})
	term.Progress(events.Progress{Stage: events.StageDownload, Percent: 25, Message: "Retrieving file 1 of 2", Time: noon.Add(2 * time.Second), Steps: 1})
	if got := b.String(); !strings.Contains(got, "Retrieving file 1 of 2 (500.0 kB of 2.0 MB), about 10.0 s left") {
		t.Errorf("%q", got)
	}
	b.Reset()
	term.Progress(events.Progress{Stage: events.StageApply, Percent: 80, Message: "Unpacking", Time: noon.Add(13 * time.Second), Steps: 1})
	if got := b.String(); strings.Contains(got, "left") {
		t.Errorf("it promises what is over: %q", got)
	}
}

func TestTheLineFitsEveryWidth(t *testing.T) {
	for width := range 200 {
		var b bytes.Buffer
		term := &output.TerminalRenderer{Out: &b, Width: func() int { return width }}
		term.SetForecast(output.Forecast{Started: noon, Expected: time.Hour, DownloadBytes: 1 << 40})
		term.Progress(events.Progress{Stage: events.StageDownload, Percent: 99, Message: strings.Repeat("ü", 150), Time: noon, Steps: 3})
		line := strings.TrimPrefix(b.String(), "\r\x1b[K")
		if n := len([]rune(line)); n >= max(20, width) {
			t.Errorf("%d columns on a screen of %d", n, width)
		}
	}
}
