package router

import (
	"sync"
	"time"

	"cortex/consumers/llm"
)

// When the circuit opens, and for how long.
const (
	// failureThreshold is the number of failures in a row that opens the circuit.
	failureThreshold = 3
	initialOpenTime  = 15 * time.Second
	maxOpenTime      = 5 * time.Minute
	// permanentOpenTime follows an error that a retry does not fix: a wrong key, no
	// credit.
	permanentOpenTime = 10 * time.Minute
)

// breaker is the circuit breaker of one provider. While it is open, no call is made;
// then it is half-open: one call decides whether it closes.
//
// It is not sony/gobreaker's, whose open time is one constant. Here the time depends
// on the error (a wrong key, no credit), grows with every trip, and follows the
// server's Retry-After; a probe shortens it; and some errors count neither as
// failure nor as success.
type breaker struct {
	now func() time.Time

	mu        sync.Mutex
	failures  int           // in a row
	openFor   time.Duration // the last open time
	openUntil time.Time     // zero when closed
	halfOpen  bool          // the deciding call is in progress
	lastError string
}

// allow reports whether a call may be made. After true, the caller calls record or
// cancel.
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

// cancel ends a call that was allowed and not made.
func (b *breaker) cancel() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.halfOpen = false
}

// record records the result of a call.
func (b *breaker) record(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	deciding := b.halfOpen
	b.halfOpen = false
	class := llm.ClassOf(err)
	switch {
	case err == nil:
		b.failures, b.openUntil, b.openFor, b.lastError = 0, time.Time{}, 0, ""
		return
	case class == llm.Cancelled:
		return
	case class == llm.BadRequest, class == llm.TooLong, class == llm.Refused:
		b.lastError = err.Error() // the provider answers; the question is at fault
		return
	}
	b.failures++
	b.lastError = err.Error()
	switch {
	case class.Permanent():
		b.trip(permanentOpenTime)
	case deciding || b.failures >= failureThreshold:
		b.trip(min(maxOpenTime, max(initialOpenTime, 2*b.openFor)))
	}
}

func (b *breaker) trip(d time.Duration) { b.openFor, b.openUntil = d, b.now().Add(d) }

// backoff opens the circuit for as long as the server asked.
func (b *breaker) backoff(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trip(d)
}

// isOpen reports whether a call would not be allowed.
func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.openUntil.IsZero() && (b.halfOpen || b.now().Before(b.openUntil))
}

// recordProbe records the result of a probe. After one that succeeds the circuit is
// half-open.
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
