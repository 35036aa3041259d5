package router

import (
	"sync"
	"time"

	"cortex/consumers/llm"
)

// How long a provider that fails is left alone.
const (
	// failureThreshold is how many failures in a row are too many.
	failureThreshold = 3
	initialOpenTime  = 15 * time.Second
	maxOpenTime      = 5 * time.Minute
	// permanentOpenTime follows what trying again does not mend: a wrong key, no credit.
	permanentOpenTime = 10 * time.Minute
)

// breaker keeps callers from a provider that fails. Once its rest is over, one
// call finds out.
type breaker struct {
	now func() time.Time

	mu        sync.Mutex
	failures  int
	openFor   time.Duration // of the last rest
	openUntil time.Time     // zero when closed
	halfOpen  bool          // a call is finding out
	lastError string        // failure
}

// allow asks to make a call.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.openUntil.IsZero() {
		return true
	}
	if b.now().Before(b.openUntil) || b.halfOpen {
		return false
	}
	b.halfOpen = true
	return true
}

// cancel: the call was not made after all.
func (b *breaker) cancel() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.halfOpen = false
}

// record learns how a call went.
func (b *breaker) record(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := b.halfOpen
	b.halfOpen = false
	class := llm.ClassOf(err)
	switch {
	case err == nil:
		b.failures, b.openUntil, b.openFor, b.lastError = 0, time.Time{}, 0, ""
		return
	case class == llm.Cancelled:
		return
	case class == llm.BadRequest, class == llm.TooLong, class == llm.Refused:
		b.lastError = err.Error() // it answers; the question was wrong
		return
	}
	b.failures++
	b.lastError = err.Error()
	switch {
	case class.Permanent():
		b.trip(permanentOpenTime)
	case found || b.failures >= failureThreshold:
		b.trip(min(maxOpenTime, max(initialOpenTime, 2*b.openFor)))
	}
}

func (b *breaker) trip(d time.Duration) { b.openFor, b.openUntil = d, b.now().Add(d) }

// backoff leaves the provider alone for as long as it asked.
func (b *breaker) backoff(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trip(d)
}

// isOpen reports whether callers are kept away.
func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.openUntil.IsZero() && (b.halfOpen || b.now().Before(b.openUntil))
}

// recordProbe learns from a probe: a good one ends the rest, but the next call still
// finds out alone.
func (b *breaker) recordProbe(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case err != nil:
		b.lastError = err.Error()
		if b.openUntil.IsZero() {
			b.failures++
		}
	case !b.openUntil.IsZero():
		b.openUntil = b.now()
	}
}

func (b *breaker) health(name, model string) ProviderHealth {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := ProviderHealth{Name: name, Model: model, State: "ok", Failures: b.failures, LastError: b.lastError}
	switch {
	case b.openUntil.IsZero():
	case b.now().Before(b.openUntil):
		h.State, h.RetryAt = "resting", b.openUntil
	default:
		h.State = "trying"
	}
	return h
}
