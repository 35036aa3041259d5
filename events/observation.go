package events

import (
	"errors"
	"time"
)

// Observation is what the hooks of apt and dpkg write down about a change that
// somebody else makes. It is no fact: the observer turns it into [Observed].
type Observation struct {
	ID      ID            `json:"id"`      // of the transaction it will be
	Program string        `json:"program"` // apt-get, dpkg, …
	Command string        `json:"command"`
	Actor   Actor         `json:"actor"`
	Started time.Time     `json:"started"`
	Ended   time.Time     `json:"ended,omitzero"`
	Before  StateSnapshot `json:"before"`
	After   StateSnapshot `json:"after,omitzero"`
	Debs    []Deb         `json:"debs,omitempty"` // kept on the way
}

// StateSnapshot is one look at the whole machine; both contents are in the vault, secret.
type StateSnapshot struct {
	Packages  Digest `json:"packages"` // JSON of a list of [Package]
	ConfState Digest `json:"image"`
}

// Validate checks an observation that is complete.
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
