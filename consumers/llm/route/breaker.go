package route

import (
	"sync"
	"time"

	"cortex/consumers/llm"
)

// How long a provider that fails is left alone.
const (
	// breakAfter is how many failures in a row are too many.
	breakAfter = 3
	firstRest  = 15 * time.Second
	maxRest    = 5 * time.Minute
	// lastingRest follows what trying again does not mend: a wrong key, no credit.
	lastingRest = 10 * time.Minute
)

// breaker keeps callers from a provider that fails. Once its rest is over, one
// call finds out.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int
	length   time.Duration // of the last rest
	until    time.Time     // zero when closed
	trying   bool          // a call is finding out
	last     string        // failure
}

// enter asks to make a call.
func (b *breaker) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return true
	}
	if b.now().Before(b.until) || b.trying {
		return false
	}
	b.trying = true
	return true
}

// leave: the call was not made after all.
func (b *breaker) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
}

// judge learns how a call went.
func (b *breaker) judge(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.trying
	b.trying = false
	class := llm.ClassOf(err)
	switch {
	case err == nil:
		b.failures, b.until, b.length, b.last = 0, time.Time{}, 0, ""
		return
	case class == llm.Cancelled:
		return
	case class == llm.BadRequest, class == llm.TooLong, class == llm.Refused:
		b.last = err.Error() // it answers; the question was wrong
		return
	}
	b.failures++
	b.last = err.Error()
	switch {
	case class.Lasting():
		b.lie(lastingRest)
	case found || b.failures >= breakAfter:
		b.lie(min(maxRest, max(firstRest, 2*b.length)))
	}
}

func (b *breaker) lie(d time.Duration) { b.length, b.until = d, b.now().Add(d) }

// rest leaves the provider alone for as long as it asked.
func (b *breaker) rest(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lie(d)
}

// open reports whether callers are kept away.
func (b *breaker) open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.until.IsZero() && (b.trying || b.now().Before(b.until))
}

// probed learns from a probe: a good one ends the rest, but the next call still
// finds out alone.
func (b *breaker) probed(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil:
		b.last = err.Error()
		if b.until.IsZero() {
			b.failures++
		}
	case !b.until.IsZero():
		b.until = b.now()
	}
}

func (b *breaker) health(name, model string) Health {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := Health{Name: name, Model: model, State: "ok", Failures: b.failures, Last: b.last}
	switch {
	case b.until.IsZero():
	case b.now().Before(b.until):
		h.State, h.Until = "resting", b.until
	default:
		h.State = "trying"
	}
	return h
}
