package events

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// Hash is a SHA-256 digest. The zero Hash precedes the first record.
type Hash [sha256.Size]byte

// String is 64 lower-case hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero reports whether h is the zero hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// ParseHash is the inverse of String.
func ParseHash(s string) (Hash, error) {
	var h Hash
	if len(s) != 2*len(h) {
		return h, errors.New("not a SHA-256 hash")
	}
	_, err := hex.Decode(h[:], []byte(s))
	return h, err
}

// ChainHash is the hash of event e at position p after a record with hash prev:
//
//	SHA-256(prev ‖ position ‖ field… ‖ SHA-256(data))
//
// Every field of the envelope is written with its length before it, in a fixed order,
// so that no two envelopes have the same bytes. Data enters by its digest, so that it
// can be redacted later without breaking the chain. CortexVersion is not hashed.
func ChainHash(prev Hash, p Position, e Event) Hash {
	h := sha256.New()
	h.Write(prev[:])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(p))
	h.Write(n[:])
	for _, f := range ChainFields(e) {
		binary.BigEndian.PutUint64(n[:], uint64(len(f.Value)))
		h.Write(n[:])
		h.Write([]byte(f.Value))
	}
	data := sha256.Sum256(e.Data)
	h.Write(data[:])
	var out Hash
	h.Sum(out[:0])
	return out
}

// ChainField is one part of an envelope that the chain hashes.
type ChainField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ChainFields are the fields of an envelope in the order in which [ChainHash] hashes
// them. The actor is one: uid, user, login uid, sudo user, tty, program and pid
// with a zero byte between them.
func ChainFields(e Event) [10]ChainField {
	a := e.Actor
	actor := fmt.Sprintf("%d\x00%s\x00%d\x00%s\x00%s\x00%s\x00%d", a.UID, a.User, a.LoginUID, a.SudoUser, a.TTY, a.Program, a.PID)
	return [10]ChainField{
		{"id", string(e.ID)},
		{"kind", string(e.Kind)},
		{"host", string(e.Host)},
		{"subject", e.Subject.String()},
		{"time", e.Time.UTC().Format(time.RFC3339Nano)},
		{"transaction", string(e.Transaction)},
		{"correlation", string(e.Correlation)},
		{"causation", string(e.Causation)},
		{"actor", actor},
		{"traceparent", e.TraceParent},
	}
}

// Link is the place of a record in the chain, which the next record must follow.
type Link struct {
	Position Position
	ID       ID
	Hash     Hash
}

// Link returns the record's place.
func (r Record) Link() Link { return Link{r.Position, r.ID, r.Hash} }

// Verify checks that r follows prev directly and that its content matches its hash. The
// error is ErrCorrupt and names the position.
func (r Record) Verify(prev Link) error {
	fail := func(format string, args ...any) error {
		return &Error{Op: "events.Record.Verify", Kind: ErrCorrupt, Subject: fmt.Sprintf("event %d", r.Position), Err: fmt.Errorf(format, args...)}
	}
	switch {
	case r.Position != prev.Position+1:
		return fail("follows event %d: the log has a hole", prev.Position)
	case r.Prev != prev.Hash:
		return fail("does not follow the stored event %d", prev.Position)
	case r.Hash != ChainHash(r.Prev, r.Position, r.Event):
		return fail("its content does not match its hash")
	}
	return nil
}
