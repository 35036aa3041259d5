package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Decode returns the fact an event carries. Unknown kinds, unknown fields and
// trailing data are errors: what cannot be written back equal is not understood.
func Decode(e Event) (Fact, error) {
	f, err := emptyFact(e.Kind)
	if err != nil {
		return nil, corruptError(e, err)
	}
	if err := decodeStrict(e.Data, f); err != nil {
		return nil, corruptError(e, err)
	}
	if f.Kind() != e.Kind {
		return nil, corruptError(e, fmt.Errorf("data says %s", f.Kind()))
	}
	return f, nil
}

// DecodeRequest returns the request an event carries, validated.
func DecodeRequest(e Event) (Request, error) {
	r, err := emptyRequest(e.Kind)
	if err != nil {
		return nil, malformedError(e, err)
	}
	if err := decodeStrict(e.Data, r); err != nil {
		return nil, malformedError(e, err)
	}
	if r.Kind() != e.Kind {
		return nil, malformedError(e, fmt.Errorf("data says %s", r.Kind()))
	}
	return r, r.Validate()
}

func corruptError(e Event, err error) error {
	return &Error{Op: "events.Decode", Kind: ErrCorrupt, Subject: string(e.Kind), Err: err}
}

func malformedError(e Event, err error) error {
	return &Error{Op: "events.DecodeRequest", Kind: ErrUsage, Subject: string(e.Kind), Err: err}
}

func decodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("data after the JSON value")
	}
	return nil
}

// Header names in NATS binary mode. The ce- names are those of the CloudEvents
// NATS binding; ours follow in the same style.
const (
	headerSpec        = "ce-specversion"
	headerID          = "ce-id"
	headerKind        = "ce-type"
	headerSource      = "ce-source"
	headerSubject     = "ce-subject"
	headerTime        = "ce-time"
	headerTransaction = "ce-transaction"
	headerCorrelation = "ce-correlationid"
	headerCausation   = "ce-causationid"
	headerActor       = "ce-actor"
	headerTraceParent = "traceparent"
	headerPosition    = "ce-originposition"
	headerPrev        = "ce-prevhash"
	headerHash        = "ce-hash"

	sourcePrefix = "urn:cortex:host:"
)

// Headers is the envelope of a message: one value a name.
type Headers map[string]string

// EncodeHeaders writes a record's envelope. A zero Position leaves out the
// log's own headers, as for requests.
func EncodeHeaders(r Record) (Headers, error) {
	actor, err := json.Marshal(r.Actor)
	if err != nil {
		return nil, fmt.Errorf("encode actor: %w", err)
	}
	h := Headers{
		headerSpec:    "1.0",
		headerID:      string(r.ID),
		headerKind:    string(r.Kind),
		headerSource:  sourcePrefix + string(r.Host),
		headerSubject: r.Subject.String(),
		headerTime:    r.Time.UTC().Format(time.RFC3339Nano),
		headerActor:   string(actor),
	}
	optional := map[string]string{
		headerTransaction: string(r.Transaction),
		headerCorrelation: string(r.Correlation),
		headerCausation:   string(r.Causation),
		headerTraceParent: r.TraceParent,
	}
	if r.Position > 0 {
		optional[headerPosition] = strconv.FormatUint(uint64(r.Position), 10)
		optional[headerPrev] = r.Prev.String()
		optional[headerHash] = r.Hash.String()
	}
	size := 0
	for name, value := range optional {
		if value != "" {
			h[name] = value
		}
	}
	for name, value := range h {
		size += len(name) + len(value)
	}
	if size > MaxHeaderBytes {
		return nil, &Error{Op: "events.EncodeHeaders", Kind: ErrUsage, Subject: string(r.Kind), Err: fmt.Errorf("headers of %d bytes are more than %d", size, MaxHeaderBytes)}
	}
	return h, nil
}

// DecodeHeaders reads an envelope back. The headers of other parties in h are
// ignored. Position is the origin position and 0 for requests.
func DecodeHeaders(h Headers, data []byte) (Record, error) {
	r := Record{Event: Event{
		ID:          ID(h[headerID]),
		Kind:        Kind(h[headerKind]),
		Transaction: TransactionID(h[headerTransaction]),
		Correlation: ID(h[headerCorrelation]),
		Causation:   ID(h[headerCausation]),
		TraceParent: h[headerTraceParent],
		Data:        json.RawMessage(data),
	}}
	fail := func(what string, err error) (Record, error) {
		return Record{}, &Error{Op: "events.DecodeHeaders", Kind: ErrCorrupt, Subject: h[headerID], Err: fmt.Errorf("%s: %w", what, err)}
	}
	if h[headerSpec] != "1.0" {
		return fail(headerSpec, fmt.Errorf("%q is not 1.0", h[headerSpec]))
	}
	source, ok := cutPrefix(h[headerSource], sourcePrefix)
	if !ok {
		return fail(headerSource, fmt.Errorf("%q is not ours", h[headerSource]))
	}
	r.Host = HostID(source)
	var err error
	if r.Subject, err = ParseSubject(h[headerSubject]); err != nil {
		return fail(headerSubject, err)
	}
	if r.Time, err = time.Parse(time.RFC3339Nano, h[headerTime]); err != nil {
		return fail(headerTime, err)
	}
	r.Time = r.Time.UTC()
	if err = decodeStrict([]byte(h[headerActor]), &r.Actor); err != nil {
		return fail(headerActor, err)
	}
	if origin := h[headerPosition]; origin != "" {
		n, err := strconv.ParseUint(origin, 10, 64)
		if err != nil {
			return fail(headerPosition, err)
		}
		r.Position = Position(n)
		if r.Prev, err = ParseHash(h[headerPrev]); err != nil {
			return fail(headerPrev, err)
		}
		if r.Hash, err = ParseHash(h[headerHash]); err != nil {
			return fail(headerHash, err)
		}
	}
	return r, r.Validate()
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || s[:len(prefix)] != prefix {
		return "", false
	}
	return s[len(prefix):], true
}

// cloudEvent is the CloudEvents 1.0 JSON form, used by exports and --json.
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          ID              `json:"id"`
	Source      string          `json:"source"`
	Type        Kind            `json:"type"`
	Subject     string          `json:"subject"`
	Time        time.Time       `json:"time"`
	Transaction TransactionID   `json:"transaction,omitempty"`
	Correlation ID              `json:"correlationid,omitempty"`
	Causation   ID              `json:"causationid,omitempty"`
	Actor       Actor           `json:"actor"`
	TraceParent string          `json:"traceparent,omitempty"`
	Position    Position        `json:"position,omitempty"`
	Prev        string          `json:"prevhash,omitempty"`
	Hash        string          `json:"hash,omitempty"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
}

// MarshalJSON writes the CloudEvents structured form.
func (r Record) MarshalJSON() ([]byte, error) {
	s := cloudEvent{
		SpecVersion: "1.0", ID: r.ID, Source: sourcePrefix + string(r.Host), Type: r.Kind,
		Subject: r.Subject.String(), Time: r.Time.UTC(), Transaction: r.Transaction,
		Correlation: r.Correlation, Causation: r.Causation, Actor: r.Actor, TraceParent: r.TraceParent,
		ContentType: "application/json", Data: r.Data,
	}
	if r.Position > 0 {
		s.Position, s.Prev, s.Hash = r.Position, r.Prev.String(), r.Hash.String()
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads the CloudEvents structured form.
func (r *Record) UnmarshalJSON(b []byte) error {
	var s cloudEvent
	if err := decodeStrict(b, &s); err != nil {
		return err
	}
	source, ok := cutPrefix(s.Source, sourcePrefix)
	if !ok || s.SpecVersion != "1.0" {
		return fmt.Errorf("not an event of ours: source %q", s.Source)
	}
	subject, err := ParseSubject(s.Subject)
	if err != nil {
		return err
	}
	*r = Record{Event: Event{
		ID: s.ID, Kind: s.Type, Host: HostID(source), Subject: subject, Time: s.Time.UTC(),
		Transaction: s.Transaction, Correlation: s.Correlation, Causation: s.Causation,
		Actor: s.Actor, TraceParent: s.TraceParent, Data: s.Data,
	}, Position: s.Position}
	if s.Position > 0 {
		if r.Prev, err = ParseHash(s.Prev); err != nil {
			return err
		}
		if r.Hash, err = ParseHash(s.Hash); err != nil {
			return err
		}
	}
	return r.Validate()
}
