package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Decode returns the fact that an event carries, in the latest version of its kind.
// A reader is tolerant: it ignores unknown fields, and a kind or version that is not
// in the registry is an [*UnknownFact]. The error is ErrCorrupt when the data cannot be
// the kind's.
func Decode(e Event) (Fact, error) {
	f, _, err := standardRegistry().decode(e)
	return f, err
}

// DecodeStrict returns the fact of an event that is about to be appended. A writer is
// strict: an unknown kind, version or field is an ErrCorrupt error, and so is data
// after the JSON value.
func DecodeStrict(e Event) (Fact, error) {
	f, unknownField, err := standardRegistry().decode(e)
	if err != nil {
		return nil, err
	}
	if _, ok := f.(*UnknownFact); ok {
		return nil, corruptError(e, fmt.Errorf("unknown kind of fact %q", e.Kind))
	}
	if unknownField != "" {
		return nil, corruptError(e, fmt.Errorf("unknown field %s", unknownField))
	}
	return f, nil
}

// UnknownField names the first field of the event's data that its kind does not have,
// in quotes; "" when there is none, or when the kind is unknown.
func UnknownField(e Event) string {
	_, field, err := standardRegistry().decode(e)
	if err != nil {
		return ""
	}
	return field
}

// decode decodes a fact and names the first field that was ignored.
func (r registry) decode(e Event) (f Fact, unknownField string, err error) {
	entry, data, known, err := r.upcast(e.Kind, e.Data)
	switch {
	case err != nil:
		return nil, "", corruptError(e, err)
	case !known && (!e.Kind.wellFormed() || !json.Valid(e.Data)):
		return nil, "", corruptError(e, errors.New("not a kind with JSON data"))
	case !known:
		return &UnknownFact{StoredKind: e.Kind, Data: e.Data, CortexVersion: e.CortexVersion}, "", nil
	}
	f = entry.Fact()
	if strictErr := decodeStrict(data, f); strictErr != nil {
		f = entry.Fact() // without what the failed attempt left in it
		if err := decodeTolerant(data, f); err != nil {
			return nil, "", corruptError(e, err)
		}
		unknownField = strings.TrimPrefix(strictErr.Error(), "json: unknown field ")
	}
	if f.Kind() != entry.Kind {
		return nil, "", corruptError(e, fmt.Errorf("the data are those of %s", f.Kind()))
	}
	return f, unknownField, nil
}

// DecodeRequest returns the request that an event carries, validated. It is strict: an
// unknown kind or field is an ErrUsage error.
func DecodeRequest(e Event) (Request, error) {
	entry, ok := standardRegistry().requests[e.Kind]
	if !ok {
		return nil, malformedError(e, fmt.Errorf("unknown kind of request %q", e.Kind))
	}
	r := entry.Request()
	if err := decodeStrict(e.Data, r); err != nil {
		return nil, malformedError(e, err)
	}
	if r.Kind() != e.Kind {
		return nil, malformedError(e, fmt.Errorf("the data are those of %s", r.Kind()))
	}
	return r, r.Validate()
}

// ParseRequest reads a request in the CloudEvents structured form, as strictly as
// [DecodeRequest]: the envelope has no unknown attribute either.
func ParseRequest(body []byte) (Event, Request, error) {
	var s cloudEvent
	if err := decodeStrict(body, &s); err != nil {
		return Event{}, nil, malformedError(Event{Kind: s.Type}, fmt.Errorf("not an event: %w", err))
	}
	rec, err := s.record()
	if err != nil {
		return Event{}, nil, malformedError(Event{Kind: s.Type}, fmt.Errorf("not an event: %w", err))
	}
	req, err := DecodeRequest(rec.Event)
	return rec.Event, req, err
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
	return decodeWhole(d, into)
}

func decodeTolerant(data []byte, into any) error {
	return decodeWhole(json.NewDecoder(bytes.NewReader(data)), into)
}

// decodeWhole decodes one value and refuses data after it.
func decodeWhole(d *json.Decoder, into any) error {
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("data after the JSON value")
	}
	return nil
}

// Header names in NATS binary mode. The ce- names are those of the CloudEvents
// NATS binding; the names of Cortex follow in the same style.
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
	headerVersion     = "ce-cortexversion"
	headerPosition    = "ce-originposition"
	headerPrev        = "ce-prevhash"
	headerHash        = "ce-hash"

	sourcePrefix = "urn:cortex:host:"
)

// Headers is the envelope of a message: one value for each name.
type Headers map[string]string

// EncodeHeaders returns a record's envelope. A zero Position leaves out the
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
		headerVersion:     r.CortexVersion,
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
		return nil, &Error{Op: "events.EncodeHeaders", Kind: ErrUsage, Subject: string(r.Kind), Err: fmt.Errorf("the headers have %d bytes; at most %d are allowed", size, MaxHeaderBytes)}
	}
	return h, nil
}

// DecodeHeaders is the inverse of [EncodeHeaders]. It ignores headers that it does not
// know. Position is the position in the log, 0 for requests.
func DecodeHeaders(h Headers, data []byte) (Record, error) {
	r := Record{Event: Event{
		ID:          ID(h[headerID]),
		Kind:        Kind(h[headerKind]),
		Transaction: TransactionID(h[headerTransaction]),
		Correlation: ID(h[headerCorrelation]),
		Causation:   ID(h[headerCausation]),
		TraceParent: h[headerTraceParent],
		Data:        json.RawMessage(data),

		CortexVersion: h[headerVersion],
	}}
	fail := func(what string, err error) (Record, error) {
		return Record{}, &Error{Op: "events.DecodeHeaders", Kind: ErrCorrupt, Subject: h[headerID], Err: fmt.Errorf("%s: %w", what, err)}
	}
	if h[headerSpec] != "1.0" {
		return fail(headerSpec, fmt.Errorf("%q is not 1.0", h[headerSpec]))
	}
	source, ok := strings.CutPrefix(h[headerSource], sourcePrefix)
	if !ok {
		return fail(headerSource, fmt.Errorf("%q does not name a host", h[headerSource]))
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
	if err = decodeTolerant([]byte(h[headerActor]), &r.Actor); err != nil {
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

// cloudEvent is the structured form of CloudEvents 1.0 in JSON, for exports and --json.
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
	Version     string          `json:"cortexversion,omitempty"`
	Position    Position        `json:"position,omitempty"`
	Prev        string          `json:"prevhash,omitempty"`
	Hash        string          `json:"hash,omitempty"`
	ContentType string          `json:"datacontenttype"`
	Data        json.RawMessage `json:"data"`
}

// MarshalJSON returns the CloudEvents structured form. The data keep their bytes.
func (r Record) MarshalJSON() ([]byte, error) {
	s := cloudEvent{
		SpecVersion: "1.0", ID: r.ID, Source: sourcePrefix + string(r.Host), Type: r.Kind,
		Subject: r.Subject.String(), Time: r.Time.UTC(), Transaction: r.Transaction,
		Correlation: r.Correlation, Causation: r.Causation, Actor: r.Actor, TraceParent: r.TraceParent,
		Version: r.CortexVersion, ContentType: "application/json", Data: r.Data,
	}
	if r.Position > 0 {
		s.Position, s.Prev, s.Hash = r.Position, r.Prev.String(), r.Hash.String()
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads the CloudEvents structured form. It ignores unknown attributes;
// the data keep their bytes.
func (r *Record) UnmarshalJSON(b []byte) error {
	var s cloudEvent
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	rec, err := s.record()
	if err != nil {
		return err
	}
	*r = rec
	return nil
}

// record is the record that the structured form describes.
func (s cloudEvent) record() (Record, error) {
	source, ok := strings.CutPrefix(s.Source, sourcePrefix)
	if !ok || s.SpecVersion != "1.0" {
		return Record{}, fmt.Errorf("not an event of Cortex: source %q, specversion %q", s.Source, s.SpecVersion)
	}
	subject, err := ParseSubject(s.Subject)
	if err != nil {
		return Record{}, err
	}
	r := Record{Event: Event{
		ID: s.ID, Kind: s.Type, Host: HostID(source), Subject: subject, Time: s.Time.UTC(),
		Transaction: s.Transaction, Correlation: s.Correlation, Causation: s.Causation,
		Actor: s.Actor, TraceParent: s.TraceParent, CortexVersion: s.Version, Data: s.Data,
	}, Position: s.Position}
	if s.Position > 0 {
		if r.Prev, err = ParseHash(s.Prev); err != nil {
			return Record{}, err
		}
		if r.Hash, err = ParseHash(s.Hash); err != nil {
			return Record{}, err
		}
	}
	return r, r.Validate()
}
