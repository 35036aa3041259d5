package treehead

import "cortex/events"

// Proof is an event with what leads from it to a signed head: the JSON that
// docs/examples/verify-proof checks. The event's hash is made, in this order, of
// prev, position, each field's value with its length before it, and the SHA-256
// of data; see events.Chain.
type Proof struct {
	Version  int                 `json:"version"`
	Position events.Position     `json:"position"`
	Prev     string              `json:"prev"` // the hash of the event before it
	Fields   []events.ChainField `json:"fields"`
	Data     string              `json:"data"` // the event's JSON, byte by byte
	Path     []string            `json:"path"` // hashes from the leaf to the root, 64 hexadecimal digits each
	Head     string              `json:"head"` // the signed head
	Key      string              `json:"key"`  // the public key, as the log's own machine tells it
}

// NewProof puts a proof together. path leads from the record's leaf to the root
// of the head's tree, the lowest first.
func NewProof(r events.Record, h Head, path []events.Hash, key string) Proof {
	fields := events.ChainFields(r.Event)
	p := Proof{
		Version: 1, Position: r.Position, Prev: r.Prev.String(), Fields: fields[:], Data: string(r.Data),
		Path: []string{}, Head: h.Note, Key: key,
	}
	for _, x := range path {
		p.Path = append(p.Path, x.String())
	}
	return p
}
