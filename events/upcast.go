package events

import (
	"encoding/json"
	"fmt"
)

// Upcaster turns the data of an old version of a kind into the data of the next
// version, so that readers know the latest version only. The stored record does
// not change: an upcaster changes the decoded fact, never the log.
//
// An upcaster is a pure function. It stands in the registry's line of the old
// version; see upcast_test.go for an example.
type Upcaster struct {
	To   Kind // the next version of the same kind
	Data func(json.RawMessage) (json.RawMessage, error)
}

// maxUpcasts bounds the versions between a stored event and the latest one.
const maxUpcasts = 100

// upcast returns the registry's line and the event's data for the latest version of
// its kind; ok is false when the kind is not in the registry.
func (r registry) upcast(k Kind, data json.RawMessage) (e KindEntry, latest json.RawMessage, ok bool, err error) {
	for range maxUpcasts {
		if e, ok = r.facts[k]; !ok || e.Upcast == nil {
			return e, data, ok, nil
		}
		next := e.Upcast.To
		if data, err = e.Upcast.Data(data); err != nil {
			return e, nil, true, fmt.Errorf("upcast to %s: %w", next, err)
		}
		k = next
	}
	return e, nil, true, fmt.Errorf("more than %d versions", maxUpcasts)
}
