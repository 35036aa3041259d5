package door

import (
	"cortex/events"
)

// Protocol is the version of this interface. A client of another version asks
// the daemon to leave and starts its own.
const Protocol = 1

// Ping answers who is there.
type Ping struct {
	Protocol int           `json:"protocol"`
	Build    string        `json:"build"`
	PID      int           `json:"pid"`
	UID      int           `json:"uid"` // of the daemon
	Host     events.HostID `json:"host"`
	// MayChange: whether the caller may change the machine through it.
	MayChange bool     `json:"may_change"`
	Notes     []string `json:"notes,omitempty"` // what happened at its start, for people
}

// Line is one line of the event stream; exactly one field is set.
type Line struct {
	Event     *events.Record   `json:"event,omitempty"`
	Progress  *events.Progress `json:"progress,omitempty"`
	Heartbeat events.Position  `json:"heartbeat,omitempty"` // the log's head
	Error     *events.Failure  `json:"error,omitempty"`     // ends the stream
}

// Accepted answers a request.
type Accepted struct {
	Position events.Position `json:"position"` // in the stream of requests
}

// Status is how the daemon is.
type Status struct {
	Ping
	State       string          `json:"state"` // directory
	Head        events.Position `json:"head"`
	LogBytes    uint64          `json:"log_b"`
	FreeBytes   uint64          `json:"free_b"`
	Servers     string          `json:"servers,omitempty"`   // that keep the log, when it is not the daemon
	Listening   string          `json:"listening,omitempty"` // where NATS clients hear facts
	Writable    bool            `json:"writable"`
	Problem     string          `json:"problem,omitempty"` // why it is not
	Running     bool            `json:"running"`           // a transaction is being carried out
	Projections []Projection    `json:"projections"`
	Parked      []ParkedEvent   `json:"parked,omitempty"`
}

// Projection is how far a read model is.
type Projection struct {
	Name     string          `json:"name"`
	Position events.Position `json:"position"`
	Lag      uint64          `json:"lag"`
	Problem  string          `json:"problem,omitempty"`
}

// ParkedEvent is a message that its handler gave up on.
type ParkedEvent struct {
	ID      events.ID      `json:"id"` // of the parked fact
	Handler string         `json:"handler"`
	Of      events.Kind    `json:"kind"`
	Failure events.Failure `json:"failure"`
}

// Replayed is what a replay did to one read model.
type Replayed struct {
	Projection  string   `json:"projection"`
	Events      int      `json:"events"`
	Verified    bool     `json:"verified"`
	Differences []string `json:"differences,omitempty"`
	DurationMs  int64    `json:"duration_ms"`
}

// failure is the body of an error.
type failure struct {
	Error events.Failure `json:"error"`
}
