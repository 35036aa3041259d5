package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ID is a UUID (version 7 when we make it) in its 36-character form.
type ID string

// HostID is the UUID of a machine's store. It is made when the store is created.
type HostID string

// TransactionID is the UUID of a transaction; the id of the request that opened it.
type TransactionID string

// Position is a fact's place in its host's log, counted from 1; 0 is before the first.
type Position uint64

// Validate checks the form of a UUID.
func (id ID) Validate() error { return validateUUID(string(id)) }

// Validate checks the form of a UUID.
func (id TransactionID) Validate() error { return validateUUID(string(id)) }

// Validate checks the form of a UUID.
func (id HostID) Validate() error { return validateUUID(string(id)) }

// Validate checks the form of a plan id.
func (id PlanID) Validate() error {
	if len(id) != 12 || strings.Trim(string(id), "0123456789abcdef") != "" {
		return &Error{
			Op: "events.PlanID.Validate", Kind: ErrUsage, Subject: fmt.Sprintf("%q", string(id)),
			Err: errors.New("not a plan id"), Hint: "a plan id has 12 hexadecimal digits, as shown by --dry-run",
		}
	}
	return nil
}

// maxVersionBytes bounds [Event.CortexVersion].
const maxVersionBytes = 64

func validateUUID(s string) error {
	if len(s) != 36 {
		return fmt.Errorf("%q is not a UUID", s)
	}
	for i, r := range s {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if r != '-' {
				return fmt.Errorf("%q is not a UUID", s)
			}
		} else if !strings.ContainsRune("0123456789abcdef", r) {
			return fmt.Errorf("%q is not a UUID", s)
		}
	}
	return nil
}

// Actor is the user and the program that caused an event. The daemon takes the uid from
// the socket's peer credentials, never from the client's data.
type Actor struct {
	UID      int    `json:"uid"`
	User     string `json:"user,omitempty"`
	LoginUID int    `json:"login_uid,omitempty"` // the audit login uid, when set
	SudoUser string `json:"sudo_user,omitempty"` // from sudo's environment; for people
	TTY      string `json:"tty,omitempty"`
	Program  string `json:"program"` // cortex, cortexd, …
	PID      int    `json:"pid,omitempty"`
}

// Event is a request or a fact with its envelope: the attributes of CloudEvents 1.0 and
// those of Cortex. It has no position yet.
type Event struct {
	ID          ID
	Kind        Kind
	Host        HostID
	Subject     Subject
	Time        time.Time     // UTC, by the writer's clock
	Transaction TransactionID // "" outside transactions
	Correlation ID            // the request at the beginning of the chain of causes
	Causation   ID            // the event that directly caused this one
	Actor       Actor
	TraceParent string // W3C trace context, or ""
	// CortexVersion is the version of Cortex that wrote a fact; "" in requests and in
	// facts of old versions. It is information and no part of the chain.
	CortexVersion string
	Data          json.RawMessage
}

// Record is an event that the log has accepted.
type Record struct {
	Event
	Position Position
	Prev     Hash // the hash of the record before it; zero for the first
	Hash     Hash // see [ChainHash]
}

// Subject is the aggregate that an event is about: NOUN.ID, such as txn.0190…. It is
// the middle of the event's NATS subject.
type Subject struct {
	Noun string // txn, machine, log, event
	ID   string
}

// String is NOUN.ID.
func (s Subject) String() string { return s.Noun + "." + s.ID }

// ParseSubject is the inverse of String.
func ParseSubject(s string) (Subject, error) {
	noun, id, ok := strings.Cut(s, ".")
	if !ok || !validToken(noun) || !validToken(id) {
		return Subject{}, fmt.Errorf("%q is not a subject", s)
	}
	return Subject{noun, id}, nil
}

// TransactionSubject is the aggregate of one transaction.
func TransactionSubject(id TransactionID) Subject { return Subject{nounTransaction, string(id)} }

// MachineSubject is the aggregate of one machine.
func MachineSubject(h HostID) Subject { return Subject{nounMachine, string(h)} }

// LogSubject is the aggregate of a host's log itself.
func LogSubject(h HostID) Subject { return Subject{nounLog, string(h)} }

// DeadLetterSubject is the aggregate of one dead letter.
func DeadLetterSubject(id ID) Subject { return Subject{nounDeadLetter, string(id)} }

func validToken(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && r != '-' && r != '_'
	})
}

// FactSubject is the NATS subject of a fact:
// cortex.evt.HOST.NOUN.ID.KIND, where KIND is the kind without its version.
func FactSubject(e Event) string {
	return "cortex.evt." + string(e.Host) + "." + e.Subject.String() + "." + e.Kind.withoutVersion()
}

// RequestSubject is the NATS subject of a request: cortex.req.HOST.VERB.ID.
func RequestSubject(e Event) string {
	verb, _, _ := strings.Cut(string(e.Kind), ".")
	return "cortex.req." + string(e.Host) + "." + verb + "." + string(e.ID)
}

// ProgressSubject is the core NATS subject of a transaction's progress; no
// stream stores it.
func ProgressSubject(h HostID, t TransactionID) string {
	return "cortex.tmp." + string(h) + ".progress." + string(t)
}

// FactFilter is the NATS filter of all facts of one aggregate.
func FactFilter(h HostID, s Subject) string {
	return "cortex.evt." + string(h) + "." + s.String() + ".>"
}

// KindFilter is the NATS filter of all facts of one kind.
func KindFilter(h HostID, k Kind) string {
	return "cortex.evt." + string(h) + ".*.*." + k.withoutVersion()
}

// RequestedFilter is the NATS filter of the facts that open transactions.
func RequestedFilter(h HostID) string { return "cortex.evt." + string(h) + ".txn.*.*.requested" }

// RequestFilter is the NATS filter of all requests to one host.
func RequestFilter(h HostID) string { return "cortex.req." + string(h) + ".>" }

// NewFactEvent puts a fact into the envelope e. See [Event.Validate] for the attributes
// that e must have.
func NewFactEvent(e Event, f Fact) (Event, error) {
	if _, ok := f.(*UnknownFact); ok {
		return Event{}, &Error{Op: "events.NewFactEvent", Kind: ErrInternal, Subject: string(f.Kind()), Err: errors.New("a fact of an unknown kind cannot be appended")}
	}
	return newEvent(e, f.Kind(), f)
}

// NewRequestEvent puts a valid request into the envelope e.
func NewRequestEvent(e Event, r Request) (Event, error) {
	if err := r.Validate(); err != nil {
		return Event{}, err
	}
	return newEvent(e, r.Kind(), r)
}

func newEvent(e Event, k Kind, payload any) (Event, error) {
	data, err := json.Marshal(payload)
	if err != nil {
		return Event{}, fmt.Errorf("encode %s: %w", k, err)
	}
	e.Kind, e.Data, e.Time = k, data, e.Time.UTC()
	return e, e.Validate()
}

// Validate checks the envelope's form and limits, not the data.
func (e Event) Validate() error {
	var errs []error
	if err := e.ID.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("id: %w", err))
	}
	if err := e.Host.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("host: %w", err))
	}
	if _, err := ParseSubject(e.Subject.String()); err != nil {
		errs = append(errs, err)
	}
	for name, id := range map[string]string{"transaction": string(e.Transaction), "correlation": string(e.Correlation), "causation": string(e.Causation)} {
		if id != "" {
			if err := validateUUID(id); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
	}
	if e.Time.IsZero() {
		errs = append(errs, errors.New("time is not set"))
	}
	if len(e.Data) > MaxEventBytes {
		errs = append(errs, fmt.Errorf("the data have %d bytes; at most %d are allowed", len(e.Data), MaxEventBytes))
	}
	if len(e.TraceParent) > 64 || strings.ContainsAny(e.TraceParent, "\r\n") {
		errs = append(errs, errors.New("traceparent is malformed"))
	}
	if len(e.CortexVersion) > maxVersionBytes || strings.ContainsFunc(e.CortexVersion, func(r rune) bool { return r <= ' ' || r > '~' }) {
		errs = append(errs, errors.New("cortexversion is malformed"))
	}
	if len(errs) == 0 {
		return nil
	}
	return &Error{Op: "events.Event.Validate", Kind: ErrInternal, Subject: string(e.Kind), Err: errors.Join(errs...)}
}

// String is a short form for logs.
func (r Record) String() string {
	return strconv.FormatUint(uint64(r.Position), 10) + " " + string(r.Kind) + " " + r.Subject.String()
}
