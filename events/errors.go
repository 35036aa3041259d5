package events

import (
	"errors"
	"strings"
)

// ErrorKind classifies an [Error]. Kinds are added, never removed. Each has one exit
// code, and is retryable or not.
type ErrorKind string

// The kinds of error.
const (
	ErrInternal     ErrorKind = "internal"     // a defect in Cortex
	ErrUsage        ErrorKind = "usage"        // the request is malformed
	ErrNotFound     ErrorKind = "not-found"    // the named thing does not exist
	ErrCancelled    ErrorKind = "cancelled"    // the user declined
	ErrConfirmation ErrorKind = "confirmation" // needs an approval, or more rights
	ErrDenied       ErrorKind = "denied"       // policy forbids it
	ErrStale        ErrorKind = "stale"        // the machine changed since the plan
	ErrPartial      ErrorKind = "partial"      // done, but not exactly
	ErrLockBusy     ErrorKind = "lock-busy"    // another package manager holds the lock
	ErrApt          ErrorKind = "apt"          // apt or dpkg failed
	ErrInterrupted  ErrorKind = "interrupted"  // stopped before the end
	ErrConflict     ErrorKind = "conflict"     // an expectation about the log or the machine did not hold
	ErrUnavailable  ErrorKind = "unavailable"  // a needed service does not answer
	ErrCorrupt      ErrorKind = "corrupt"      // stored data was changed or is damaged
	ErrFull         ErrorKind = "full"         // no space for data that must be durable
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

// Retryable reports whether the same call may succeed later.
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

// Error is the one error type of Cortex. Users read "subject: cause" and, on a line of
// its own, the hint. Op is for logs.
type Error struct {
	Op      string    // package.Function that failed, for logs
	Kind    ErrorKind // never empty
	Subject string    // the package, transaction or file that it is about
	Hint    string    // what the user can do next, lower case, no full stop
	Err     error     // the cause; may be nil
}

// Error returns subject and cause without the hint.
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

// Unwrap returns the cause.
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

// Failure is an [Error] in the form that facts store.
type Failure struct {
	Kind    ErrorKind `json:"kind"`
	Subject string    `json:"subject,omitempty"`
	Message string    `json:"message"`
	Hint    string    `json:"hint,omitempty"`
}

// FailureOf returns err as a failure. A message longer than [MaxReasonBytes] loses its
// beginning.
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
