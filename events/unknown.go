package events

import (
	"encoding/json"
	"fmt"
)

// UnknownFact is a fact of a kind or version that this version of Cortex does not know,
// because a newer one appended it. Readers skip it. It cannot be appended.
type UnknownFact struct {
	StoredKind    Kind
	Data          json.RawMessage // the stored bytes
	CortexVersion string          // of the writer; "" when the event does not name it
}

// Kind implements [Fact].
func (u *UnknownFact) Kind() Kind { return u.StoredKind }

func (*UnknownFact) fact() {}

// Number is the number of the transaction that the fact opens, 0 when it has none.
// Every fact that opens a transaction has the field number, in all versions.
func (u *UnknownFact) Number() int {
	var opened struct {
		Number int `json:"number"`
	}
	if err := json.Unmarshal(u.Data, &opened); err != nil {
		return 0
	}
	return opened.Number
}

// knownVersion is the registry's line of the version that this Cortex knows of the same
// kind; ok is false when it knows none.
func (u *UnknownFact) knownVersion() (e Entry, ok bool) {
	e, ok = standardRegistry().latest[u.StoredKind.withoutVersion()]
	return e, ok
}

// UnknownEvent is an event that this version of Cortex does not know, or not
// completely.
type UnknownEvent struct {
	Position      Position
	Kind          Kind
	Field         string // the unknown field of a known kind; "" when the kind or its version is unknown
	CortexVersion string // of the writer, or ""
}

// String describes the event for a residue or a log line.
func (u UnknownEvent) String() string {
	if u.Field != "" {
		return fmt.Sprintf("event %d (%s) has the field %s, which this version of Cortex does not know", u.Position, u.Kind, u.Field)
	}
	return fmt.Sprintf("event %d has the kind %s, which this version of Cortex does not know", u.Position, u.Kind)
}

// Error returns the error of an operation that is refused because of the event, such as
// "undo". It is ErrConflict.
func (u UnknownEvent) Error(subject, operation string) error {
	version := "a newer Cortex"
	if u.CortexVersion != "" {
		version = "Cortex " + u.CortexVersion + " or newer"
	}
	return &Error{
		Op: "events.UnknownEvent", Kind: ErrConflict, Subject: subject, Err: fmt.Errorf("%s needs %s: %s", operation, version, u),
		Hint: "install " + version + " and try again; nothing was changed",
	}
}

// UndoBlocker reports whether r is of an unknown kind or version that an undo may
// need.
func UndoBlocker(r Record) (UnknownEvent, bool) {
	if _, known := standardRegistry().facts[r.Kind]; known || !UndoMayNeed(r.Kind) {
		return UnknownEvent{}, false
	}
	return UnknownEvent{Position: r.Position, Kind: r.Kind, CortexVersion: r.CortexVersion}, true
}
