package api

import (
	"encoding/json"

	"cortex/events"
)

// ProtocolVersion is the version of this interface. A client of another version stops
// the daemon and starts its own.
const ProtocolVersion = 1

// Ping identifies the daemon.
type Ping struct {
	Protocol int           `json:"protocol"`
	Build    string        `json:"build"`
	PID      int           `json:"pid"`
	UID      int           `json:"uid"` // of the daemon
	Host     events.HostID `json:"host"`
	// MayChange is true if the caller may change the machine through this daemon.
	MayChange    bool     `json:"may_change"`
	StartupNotes []string `json:"notes,omitempty"` // messages about its start-up, for the user
}

// StreamLine is one line of the event stream. Exactly one of Event, Progress,
// Heartbeat and Error is set.
type StreamLine struct {
	Event *events.Record `json:"event,omitempty"`
	// CortexVersion is the event's attribute of that name. It is beside the event, not
	// in it: clients of the first versions refuse an event with an unknown attribute.
	CortexVersion string           `json:"cortexversion,omitempty"`
	Progress      *events.Progress `json:"progress,omitempty"`
	Heartbeat     events.Position  `json:"heartbeat,omitempty"` // the log's head
	Error         *events.Failure  `json:"error,omitempty"`     // ends the stream
}

// NewEventLine returns the line of an event.
func NewEventLine(r events.Record) StreamLine {
	l := StreamLine{CortexVersion: r.CortexVersion}
	r.CortexVersion = ""
	l.Event = &r
	return l
}

// UnmarshalJSON puts the version back into the event.
func (l *StreamLine) UnmarshalJSON(b []byte) error {
	type plain StreamLine
	if err := json.Unmarshal(b, (*plain)(l)); err != nil {
		return err
	}
	if l.Event != nil {
		l.Event.CortexVersion = l.CortexVersion
	}
	return nil
}

// PositionReply is the reply to a submitted request.
type PositionReply struct {
	Position events.Position `json:"position"` // in the stream of requests
}

// DaemonStatus is the state of the daemon.
type DaemonStatus struct {
	Ping
	StateDir           string             `json:"state"` // directory
	Head               events.Position    `json:"head"`
	LogBytes           uint64             `json:"log_b"`
	FreeBytes          uint64             `json:"free_b"`
	NATSServers        string             `json:"servers,omitempty"`   // of an external cluster that stores the log; "" for the daemon's own
	NATSListen         string             `json:"listening,omitempty"` // address at which NATS clients read facts
	Writable           bool               `json:"writable"`
	Problem            string             `json:"problem,omitempty"` // the reason if it is not
	TransactionRunning bool               `json:"running"`           // a transaction is running
	Projections        []ProjectionStatus `json:"projections"`
	DeadLetters        []DeadLetterStatus `json:"parked,omitempty"`
}

// ProjectionStatus is the progress of a read model.
type ProjectionStatus struct {
	Name     string          `json:"name"`
	Position events.Position `json:"position"`
	Lag      uint64          `json:"lag"`
	Problem  string          `json:"problem,omitempty"`
}

// DeadLetterStatus is a message that its handler could not process.
type DeadLetterStatus struct {
	ID        events.ID      `json:"id"` // of the dead-letter fact
	Handler   string         `json:"handler"`
	EventKind events.Kind    `json:"kind"`
	Failure   events.Failure `json:"failure"`
}

// ReplayResult is the result of a replay for one read model.
type ReplayResult struct {
	Projection  string   `json:"projection"`
	Events      int      `json:"events"`
	Verified    bool     `json:"verified"`
	Differences []string `json:"differences,omitempty"`
	DurationMs  int64    `json:"duration_ms"`
}

// errorBody is the body of an error response.
type errorBody struct {
	Error events.Failure `json:"error"`
}
