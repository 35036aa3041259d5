package projections

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"cortex/events"
)

// Definition describes a read model: its tables and how facts change them. It holds
// no state, so one value may serve several databases at once.
type Definition struct {
	// Name is the read model's file name: 1 to 32 lower-case letters.
	Name string
	// Version is raised whenever the schema or a handler changes what the tables
	// hold. A file of another version is rebuilt.
	Version int
	// Schema creates the tables and indexes, and nothing else. The table names
	// checkpoint and dead_letter are reserved. A file with other tables or indexes is
	// rebuilt.
	Schema string
	// Handlers write the tables. A fact without a handler changes nothing.
	Handlers []Handler
}

// Handler applies one type of fact, or every record. Use [On] and [OnRecord].
type Handler struct {
	fact  reflect.Type // nil for every record
	apply func(tx *Tx, r events.Record, f events.Fact) error
}

// On returns the handler of facts of type F, for example *events.Succeeded.
//
// apply depends only on its arguments and the tables, so that a replay writes the
// same rows. If apply returns an error or panics, its writes are rolled back and the
// fact becomes a dead letter.
func On[F events.Fact](apply func(tx *Tx, r events.Record, f F) error) Handler {
	return Handler{reflect.TypeFor[F](), func(tx *Tx, r events.Record, f events.Fact) error { return apply(tx, r, f.(F)) }}
}

// OnRecord returns a handler of every record, including records of unknown kinds. It
// does not decode them. The rules of [On] apply.
func OnRecord(apply func(tx *Tx, r events.Record) error) Handler {
	return Handler{nil, func(tx *Tx, r events.Record, _ events.Fact) error { return apply(tx, r) }}
}

// dispatcher is a definition with its handlers indexed.
type dispatcher struct {
	Definition
	records []Handler                // in the order of the definition
	facts   map[reflect.Type]Handler // one of each type
}

func newDispatcher(d Definition) (*dispatcher, error) {
	if err := d.validate(); err != nil {
		return nil, &events.Error{Op: "projections.New", Kind: events.ErrInternal, Subject: fmt.Sprintf("read model %q", d.Name), Err: err}
	}
	out := &dispatcher{Definition: d, facts: map[reflect.Type]Handler{}}
	for _, h := range d.Handlers {
		if h.fact == nil {
			out.records = append(out.records, h)
		} else {
			out.facts[h.fact] = h
		}
	}
	return out, nil
}

func (d Definition) validate() error {
	if d.Name == "" || len(d.Name) > 32 || strings.Trim(d.Name, "abcdefghijklmnopqrstuvwxyz") != "" {
		return errors.New("the name must be 1 to 32 lower-case letters")
	}
	seen := map[reflect.Type]bool{}
	for _, h := range d.Handlers {
		switch {
		case h.apply == nil:
			return errors.New("a handler has no function; use On or OnRecord")
		case h.fact == nil:
		case h.fact.Kind() == reflect.Interface:
			return fmt.Errorf("%s is not the type of one fact", h.fact)
		case seen[h.fact]:
			return fmt.Errorf("%s has two handlers", h.fact)
		default:
			seen[h.fact] = true
		}
	}
	return nil
}

// apply runs the handlers of one record. It skips a record whose kind this program
// does not know.
func (d *dispatcher) apply(tx *Tx, r feedRecord) error {
	for _, h := range d.records {
		if err := h.apply(tx, r.Record, nil); err != nil {
			return err
		}
	}
	if len(d.facts) == 0 {
		return nil
	}
	f, err := r.decode()
	if err != nil {
		if !isKnownKind(r.Kind) {
			return nil
		}
		return err
	}
	if h, ok := d.facts[reflect.TypeOf(f)]; ok {
		return h.apply(tx, r.Record, f)
	}
	return nil
}

// fingerprint identifies the schema in the checkpoint. It is informational.
func (d Definition) fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join(d.statements(), ";")))
	return hex.EncodeToString(sum[:8])
}
