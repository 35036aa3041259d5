package events

import (
	"errors"
	"strings"
)

// ErrorKind classifies an [Error]. Kinds are append-only; each has exactly one
// exit code and one retry answer (see [ErrorKind.ExitCode], [ErrorKind.Retryable]).
type ErrorKind string

// The kinds of error.
const (
	ErrInternal     ErrorKind = "internal"     // a fault of ours
	ErrUsage        ErrorKind = "usage"        // the words of the request are wrong
	ErrNotFound     ErrorKind = "not-found"    // what was named does not exist
	ErrCancelled    ErrorKind = "cancelled"    // the person said no
	ErrConfirmation ErrorKind = "confirmation" // needs a yes, or more rights
	ErrDenied       ErrorKind = "denied"       // policy says no
	ErrStale        ErrorKind = "stale"        // the world changed since the plan
	ErrPartial      ErrorKind = "partial"      // done, but not exactly
	ErrLockBusy     ErrorKind = "lock-busy"    // another package manager is at work
	ErrApt          ErrorKind = "apt"          // apt or dpkg failed
	ErrInterrupted  ErrorKind = "interrupted"  // stopped in the middle
	ErrConflict     ErrorKind = "conflict"     // an expectation about the log or the machine did not hold
	ErrUnavailable  ErrorKind = "unavailable"  // something we need does not answer
	ErrCorrupt      ErrorKind = "corrupt"      // what is stored is not what was written
	ErrFull         ErrorKind = "full"         // no room for what must be durable
)

// Error makes a kind usable as a target: errors.Is(err, events.ErrStale).
func (k ErrorKind) Error() string { return string(k) }

// ErrorKinds lists every kind, for tables and tests.
var ErrorKinds = []ErrorKind{
	ErrInternal, ErrUsage, ErrNotFound, ErrCancelled, ErrConfirmation,
	ErrDenied, ErrStale, ErrPartial, ErrLockBusy, ErrApt, ErrInterrupted,
	ErrConflict, ErrUnavailable, ErrCorrupt, ErrFull,
}

// ExitCode is the exit status of a command that ends with this kind.
func (k ErrorKind) ExitCode() int {
	switch k {
	case ErrUsage:
		return 2
	case ErrCancelled:
		return 3
	case ErrConfirmation:
		return 4
	case ErrDenied:
		return 5
	case ErrStale:
		return 6
	case ErrPartial:
		return 7
	case ErrLockBusy:
		return 8
	case ErrApt:
		return 100
	case ErrInterrupted:
		return 130
	case ErrInternal, ErrNotFound, ErrConflict, ErrUnavailable, ErrCorrupt, ErrFull:
		return 1
	}
	return 1
}

// Retryable reports whether the same call may succeed when simply made again later.
func (k ErrorKind) Retryable() bool {
	switch k {
	case ErrUnavailable, ErrLockBusy, ErrConflict:
		return true
	case ErrInternal, ErrUsage, ErrNotFound, ErrCancelled, ErrConfirmation, ErrDenied,
		ErrStale, ErrPartial, ErrApt, ErrInterrupted, ErrCorrupt, ErrFull:
		return false
	}
	return false
}

// Error is the one error type of Cortex. What a person reads is
// "subject: cause" and, on a line of its own, the hint; Op is for logs.
type Error struct {
	Op      string    // package.Function that failed, for logs
	Kind    ErrorKind // never empty
	Subject string    // what it was about: a package, a transaction, a file
	Hint    string    // what the reader can do next, lower case, no full stop
	Err     error     // the cause; may be nil
}

// Error renders subject and cause without the hint.
func (e *Error) Error() string {
	var parts []string
	if e.Subject != "" {
		parts = append(parts, e.Subject)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	} else {
		parts = append(parts, string(e.Kind))
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is this error's kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(ErrorKind)
	return ok && k == e.Kind
}

// KindOf is the kind of the outermost [*Error] in err's chain, ErrInternal for
// any other error, and "" for nil.
func KindOf(err error) ErrorKind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ErrInternal
}

// HintOf is the first non-empty hint in err's chain.
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// Failure is an [Error] as it is written into a fact.
type Failure struct {
	Kind    ErrorKind `json:"kind"`
	Subject string    `json:"subject,omitempty"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
}

// FailureOf records err; messages longer than [MaxReasonBytes] lose their head.
func FailureOf(err error) Failure {
	f := Failure{Kind: KindOf(err), Hint: HintOf(err), Message: Tail(err.Error(), MaxReasonBytes)}
	var e *Error
	if errors.As(err, &e) {
		f.Subject = e.Subject
		if e.Err != nil {
			f.Message = Tail(e.Err.Error(), MaxReasonBytes)
		}
	}
	return f
}

// AsError turns a recorded failure back into an error.
func (f Failure) AsError() error {
	return &Error{Kind: f.Kind, Subject: f.Subject, Hint: f.Hint, Err: errors.New(f.Message)}
}

// Tail returns at most max bytes from the end of s, starting at a whole rune.
func Tail(s string, max int) string {
	if len(s) <= max {
		return s
	}
	s = s[len(s)-max:]
	for i := range len(s) {
		if s[i]&0xC0 != 0x80 { // not in the middle of a rune
			return s[i:]
		}
	}
	return ""
}
