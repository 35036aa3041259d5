package render

import (
	"fmt"
	"sync"
	"time"

	"cortex/events"
)

// Outlook is what is known of a transaction that begins to run.
type Outlook struct {
	Started  time.Time     `json:"started"`
	Took     time.Duration `json:"-"`                   // as others of its kind and size did here; 0 unknown
	TookMs   int64         `json:"expected_ms"`         // the same
	Download int64         `json:"download_b,omitzero"` // bytes to fetch
}

// worthTelling is the shortest span that is worth a forecast.
const worthTelling = 2 * time.Second

// left says how much longer it may take, and nothing once it took longer.
func (o Outlook) left(p events.Progress) string {
	left := o.Took - p.Time.Sub(o.Started)
	if o.Started.IsZero() || o.Took < worthTelling || left < time.Second || p.Stage == events.StageWaiting {
		return ""
	}
	return fmt.Sprintf(", about %s left", Duration(left.Round(time.Second)))
}

// bytes says how much is fetched.
func (o Outlook) bytes(p events.Progress) string {
	if p.Stage != events.StageDownload || o.Download <= 0 || p.Percent < 0 {
		return ""
	}
	return fmt.Sprintf(" (%s of %s)", Bytes(int64(p.Percent/100*float64(o.Download))), Bytes(o.Download))
}

// Locked lets many goroutines use one renderer.
type Locked struct {
	mu sync.Mutex
	r  Renderer
}

// Lock wraps a renderer.
func Lock(r Renderer) *Locked { return &Locked{r: r} }

func (l *Locked) with(f func(Renderer)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l.r)
}

// Say implements [Renderer].
func (l *Locked) Say(format string, args ...any) { l.with(func(r Renderer) { r.Say(format, args...) }) }

// Event implements [Renderer].
func (l *Locked) Event(e events.Record) { l.with(func(r Renderer) { r.Event(e) }) }

// Expect implements [Renderer].
func (l *Locked) Expect(o Outlook) { l.with(func(r Renderer) { r.Expect(o) }) }

// Progress implements [Renderer].
func (l *Locked) Progress(p events.Progress) { l.with(func(r Renderer) { r.Progress(p) }) }

// Beat implements [Renderer].
func (l *Locked) Beat(now time.Time) { l.with(func(r Renderer) { r.Beat(now) }) }

// Done implements [Renderer].
func (l *Locked) Done() { l.with(func(r Renderer) { r.Done() }) }
