package render

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"cortex/events"
)

// Renderer shows a transaction while it goes on. It is used by one goroutine; see
// [Locked] for more.
type Renderer interface {
	// Say tells one line of conversation.
	Say(format string, args ...any)
	// Event shows that a fact was recorded.
	Event(r events.Record)
	// Expect tells, before anything runs, what is known of how long it will take.
	Expect(o Outlook)
	// Progress shows how far the running step is.
	Progress(p events.Progress)
	// Beat is called every few seconds while nothing else comes.
	Beat(now time.Time)
	// Done clears what is not to stay on the screen.
	Done()
}

// Terminal keeps one status line at the bottom and rewrites it. Width gives the
// columns there are.
type Terminal struct {
	W     io.Writer
	Width func() int
	last  events.Progress
	ahead Outlook
	shown bool
}

const barWidth = 20

// Say implements [Renderer].
func (t *Terminal) Say(format string, args ...any) {
	t.Done()
	fmt.Fprintf(t.W, format+"\n", args...)
}

// Event implements [Renderer].
func (t *Terminal) Event(events.Record) {}

// Expect implements [Renderer].
func (t *Terminal) Expect(o Outlook) { t.ahead = o }

// Progress implements [Renderer].
func (t *Terminal) Progress(p events.Progress) {
	t.last = p
	t.draw("")
}

// Beat implements [Renderer].
func (t *Terminal) Beat(now time.Time) {
	if t.shown && !t.last.Time.IsZero() {
		if silent := now.Sub(t.last.Time); silent > 5*time.Second {
			t.draw(" (for " + Duration(silent.Round(time.Second)) + ")")
		}
	}
}

func (t *Terminal) draw(more string) {
	width := max(20, t.Width()) - 1
	line := shorten(bar(t.last)+describe(t.last)+t.ahead.bytes(t.last)+t.ahead.left(t.last)+more, width)
	fmt.Fprint(t.W, "\r\x1b[K"+line)
	t.shown = true
}

func bar(p events.Progress) string {
	if p.Percent < 0 {
		return ""
	}
	full := int(p.Percent / 100 * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f%%  ", strings.Repeat("#", full), strings.Repeat("-", barWidth-full), p.Percent)
}

func describe(p events.Progress) string {
	s := p.Message
	if s == "" {
		s = string(p.Stage)
	}
	if p.Steps > 1 {
		s = fmt.Sprintf("step %d of %d: %s", p.Step+1, p.Steps, s)
	}
	return s
}

// Done implements [Renderer].
func (t *Terminal) Done() {
	if t.shown {
		fmt.Fprint(t.W, "\r\x1b[K")
		t.shown = false
	}
}

// Plain appends lines: one whenever the stage of the work changes, and a sign of
// life every few seconds.
type Plain struct {
	W     io.Writer
	said  string          // the line that the last stage began with
	last  events.Progress // the newest
	ahead Outlook
	at    time.Time // of the last line
}

const signOfLife = 10 * time.Second

// Say implements [Renderer].
func (p *Plain) Say(format string, args ...any) { fmt.Fprintf(p.W, format+"\n", args...) }

// Event implements [Renderer].
func (p *Plain) Event(events.Record) {}

// Expect implements [Renderer].
func (p *Plain) Expect(o Outlook) { p.ahead = o }

// Progress implements [Renderer].
func (p *Plain) Progress(now events.Progress) {
	p.last = now
	if line := stageOf(now); line != p.said {
		p.said = line
		if now.Stage == events.StageWaiting || now.Stage == events.StageRefresh {
			line = describe(now)
		}
		fmt.Fprintln(p.W, line)
		p.at = now.Time
	}
	p.Beat(now.Time)
}

// stageOf names a stage of the work.
func stageOf(p events.Progress) string {
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

// Beat implements [Renderer].
func (p *Plain) Beat(now time.Time) {
	if p.said != "" && now.Sub(p.at) >= signOfLife {
		fmt.Fprintf(p.W, "still at it: %s\n", describe(p.last)+p.ahead.bytes(p.last)+p.ahead.left(events.Progress{Stage: p.last.Stage, Time: now}))
		p.at = now
	}
}

// Done implements [Renderer].
func (p *Plain) Done() {}

// NDJSON writes every event and all progress as JSON, a line each.
type NDJSON struct{ W io.Writer }

func (n *NDJSON) write(kind, field string, v any) {
	_ = json.NewEncoder(n.W).Encode(map[string]any{"version": 1, "type": kind, field: v})
}

// Say implements [Renderer]: conversation is for people.
func (n *NDJSON) Say(string, ...any) {}

// Event implements [Renderer].
func (n *NDJSON) Event(r events.Record) { n.write("event", "event", r) }

// Expect implements [Renderer].
func (n *NDJSON) Expect(o Outlook) { n.write("outlook", "outlook", o) }

// Progress implements [Renderer].
func (n *NDJSON) Progress(p events.Progress) { n.write("progress", "progress", p) }

// Beat implements [Renderer].
func (n *NDJSON) Beat(time.Time) {}

// Done implements [Renderer].
func (n *NDJSON) Done() {}

// Quiet shows nothing.
type Quiet struct{}

// Say implements [Renderer].
func (Quiet) Say(string, ...any) {}

// Event implements [Renderer].
func (Quiet) Event(events.Record) {}

// Expect implements [Renderer].
func (Quiet) Expect(Outlook) {}

// Progress implements [Renderer].
func (Quiet) Progress(events.Progress) {}

// Beat implements [Renderer].
func (Quiet) Beat(time.Time) {}

// Done implements [Renderer].
func (Quiet) Done() {}

var (
	_ Renderer = (*Terminal)(nil)
	_ Renderer = (*Plain)(nil)
	_ Renderer = (*NDJSON)(nil)
	_ Renderer = Quiet{}
	_ Renderer = (*Locked)(nil)
)
