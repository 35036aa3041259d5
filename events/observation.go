package events

import (
	"errors"
	"time"
)

// Observation is the record that the hooks of apt and dpkg write about a change made
// outside Cortex. It is not a fact: package consumers/external turns it into [Observed].
type Observation struct {
	ID      ID            `json:"id"`      // of the future transaction
	Program string        `json:"program"` // apt-get, dpkg, …
	Command string        `json:"command"`
	Actor   Actor         `json:"actor"`
	Started time.Time     `json:"started"`
	Ended   time.Time     `json:"ended,omitzero"`
	Before  StateSnapshot `json:"before"`
	After   StateSnapshot `json:"after,omitzero"`
	Debs    []Deb         `json:"debs,omitempty"` // stored while apt ran
}

// StateSnapshot is the state of the whole machine at one moment. Both contents are in
// the blob store, encrypted.
type StateSnapshot struct {
	Packages  Digest `json:"packages"` // JSON of a list of [Package]
	ConfState Digest `json:"image"`
}

// Validate checks a complete observation.
func (o Observation) Validate() error {
	var errs []error
	for _, d := range []Digest{o.Before.Packages, o.Before.ConfState, o.After.Packages, o.After.ConfState} {
		errs = append(errs, d.Validate())
	}
	if len(o.Command) > MaxTextBytes || len(o.Program) > MaxPackageNameBytes {
		errs = append(errs, errors.New("the command is too long"))
	}
	return errors.Join(append(errs, o.ID.Validate())...)
}
