package output

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"cortex/events"
)

// ProgressRenderer shows a running transaction. One goroutine uses it.
type ProgressRenderer interface {
	// Message tells one line of conversation.
	Message(format string, args ...any)
	// EventLine shows that a fact was recorded.
	Event(r events.Record)
	// SetForecast tells, before anything runs, what is known of how long it will take.
	SetForecast(o Forecast)
	// Progress shows how far the running step is.
	Progress(p events.Progress)
	// Tick is called every few seconds while nothing else comes.
	Tick(now time.Time)
	// Finish clears what is not to stay on the screen.
	Finish()
}

// TerminalRenderer keeps one status line at the bottom and rewrites it. Width gives the
// columns there are.
type TerminalRenderer struct {
	Out          io.Writer
	Width        func() int
	lastProgress events.Progress
	forecast     Forecast
	shown        bool
}

const barWidth = 20

// Message implements [ProgressRenderer].
func (t *TerminalRenderer) Message(format string, args ...any) {
	t.Finish()
	fmt.Fprintf(t.Out, format+"\n", args...)
}

// EventLine implements [ProgressRenderer].
func (t *TerminalRenderer) Event(events.Record) {}

// SetForecast implements [ProgressRenderer].
func (t *TerminalRenderer) SetForecast(o Forecast) { t.forecast = o }

// Progress implements [ProgressRenderer].
func (t *TerminalRenderer) Progress(p events.Progress) {
	t.lastProgress = p
	t.draw("")
}

// Tick implements [ProgressRenderer].
func (t *TerminalRenderer) Tick(now time.Time) {
	if t.shown && !t.lastProgress.Time.IsZero() {
		if silent := now.Sub(t.lastProgress.Time); silent > 5*time.Second {
			t.draw(" (for " + Duration(silent.Round(time.Second)) + ")")
		}
	}
}

func (t *TerminalRenderer) draw(more string) {
	width := max(20, t.Width()) - 1
	line := shorten(progressBar(t.lastProgress)+progressText(t.lastProgress)+t.forecast.downloaded(t.lastProgress)+t.forecast.remaining(t.lastProgress)+more, width)
	fmt.Fprint(t.Out, "\r\x1b[K"+line)
	t.shown = true
}

func progressBar(p events.Progress) string {
	if p.Percent < 0 {
		return ""
	}
	full := int(p.Percent / 100 * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f%%  ", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), p.Percent)
}

func progressText(p events.Progress) string {
	s := p.Message
	if s == "" {
		s = string(p.Stage)
	}
	if p.Steps > 1 {
		s = fmt.Sprintf("step %d of %d: %s", p.Step+1, p.Steps, s)
	}
	return s
}

// Finish implements [ProgressRenderer].
func (t *TerminalRenderer) Finish() {
	if t.shown {
		fmt.Fprint(t.Out, "\r\x1b[K")
		t.shown = false
	}
}

// LineRenderer appends lines: one whenever the stage of the work changes, and a sign of
// life every few seconds.
type LineRenderer struct {
	Out          io.Writer
	lastLine     string          // the line that the last stage began with
	lastProgress events.Progress // the newest
	forecast     Forecast
	lastLineAt   time.Time // of the last line
}

const keepaliveInterval = 10 * time.Second

// Message implements [ProgressRenderer].
func (p *LineRenderer) Message(format string, args ...any) { fmt.Fprintf(p.Out, format+"\n", args...) }

// EventLine implements [ProgressRenderer].
func (p *LineRenderer) Event(events.Record) {}

// SetForecast implements [ProgressRenderer].
func (p *LineRenderer) SetForecast(o Forecast) { p.forecast = o }

// Progress implements [ProgressRenderer].
func (p *LineRenderer) Progress(now events.Progress) {
	p.lastProgress = now
	if line := stageText(now); line != p.lastLine {
		p.lastLine = line
		if now.Stage == events.StageWaiting || now.Stage == events.StageRefresh {
			line = progressText(now)
		}
		fmt.Fprintln(p.Out, line)
		p.lastLineAt = now.Time
	}
	p.Tick(now.Time)
}

// stageText names a stage of the work.
func stageText(p events.Progress) string {
	s := string(p.Stage)
	switch p.Stage {
	case events.StageWaiting, events.StageRefresh:
	case events.StageDownload:
		s = "downloading"
	case events.StageApply:
		s = "dpkg is at work"
	case events.StageVerify:
		s = "reading back what changed"
	}
	if p.Steps > 1 && p.Stage != events.StageVerify {
		s = fmt.Sprintf("step %d of %d: %s", p.Step+1, p.Steps, s)
	}
	return s
}

// Tick implements [ProgressRenderer].
func (p *LineRenderer) Tick(now time.Time) {
	if p.lastLine != "" && now.Sub(p.lastLineAt) >= keepaliveInterval {
		fmt.Fprintf(p.Out, "still at it: %s\n", progressText(p.lastProgress)+p.forecast.downloaded(p.lastProgress)+p.forecast.remaining(events.Progress{Stage: p.lastProgress.Stage, Time: now}))
		p.lastLineAt = now
	}
}

// Finish implements [ProgressRenderer].
func (p *LineRenderer) Finish() {}

// NDJSONRenderer writes every event and all progress as JSON, a line each.
type NDJSONRenderer struct{ Out io.Writer }

func (n *NDJSONRenderer) write(kind, field string, v any) {
	_ = json.NewEncoder(n.Out).Encode(map[string]any{"version": 1, "type": kind, field: v})
}

// Message implements [ProgressRenderer]: conversation is for people.
func (n *NDJSONRenderer) Message(string, ...any) {}

// EventLine implements [ProgressRenderer].
func (n *NDJSONRenderer) Event(r events.Record) { n.write("event", "event", r) }

// SetForecast implements [ProgressRenderer].
func (n *NDJSONRenderer) SetForecast(o Forecast) { n.write("outlook", "outlook", o) }

// Progress implements [ProgressRenderer].
func (n *NDJSONRenderer) Progress(p events.Progress) { n.write("progress", "progress", p) }

// Tick implements [ProgressRenderer].
func (n *NDJSONRenderer) Tick(time.Time) {}

// Finish implements [ProgressRenderer].
func (n *NDJSONRenderer) Finish() {}

// QuietRenderer shows nothing.
type QuietRenderer struct{}

// Message implements [ProgressRenderer].
func (QuietRenderer) Message(string, ...any) {}

// EventLine implements [ProgressRenderer].
func (QuietRenderer) Event(events.Record) {}

// SetForecast implements [ProgressRenderer].
func (QuietRenderer) SetForecast(Forecast) {}

// Progress implements [ProgressRenderer].
func (QuietRenderer) Progress(events.Progress) {}

// Tick implements [ProgressRenderer].
func (QuietRenderer) Tick(time.Time) {}

// Finish implements [ProgressRenderer].
func (QuietRenderer) Finish() {}

var (
	_ ProgressRenderer = (*TerminalRenderer)(nil)
	_ ProgressRenderer = (*LineRenderer)(nil)
	_ ProgressRenderer = (*NDJSONRenderer)(nil)
	_ ProgressRenderer = QuietRenderer{}
)
