package treehead

import "cortex/events"

// Proof is an event with the path from it to a signed head: the JSON that
// docs/examples/verify-proof checks. The hash of the event covers, in this order, prev,
// position, the length and value of each field, and the SHA-256 of data; see
// events.ChainHash.
type Proof struct {
	Version  int                 `json:"version"`
	Position events.Position     `json:"position"`
	Prev     string              `json:"prev"` // the hash of the event before it
	Fields   []events.ChainField `json:"fields"`
	Data     string              `json:"data"` // the event's JSON, byte for byte
	Path     []string            `json:"path"` // hashes from the leaf to the root, 64 hexadecimal digits each
	Head     string              `json:"head"` // the signed head
	Key      string              `json:"key"`  // the public key, from the log's own machine
}

// NewProof returns a proof. path leads from the record's leaf to the root of the head's
// tree, from the bottom up.
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
