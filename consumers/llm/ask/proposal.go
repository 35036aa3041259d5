package ask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"cortex/events"
)

// Limits of a proposal.
const (
	maxReason = 200
	maxNote   = 500
)

// modelProposal is an answer for [events.TaskInstall].
type modelProposal struct {
	Needs []struct {
		Words      string `json:"words"`
		Action     string `json:"action"`
		Candidates []struct {
			Name string `json:"name"`
			Why  string `json:"why"`
		} `json:"candidates"`
	} `json:"needs"`
	Note string `json:"note"`
}

// Proposal is what a model proposed, as far as it holds.
type Proposal struct {
	Needs []events.Need
	// Unknown are names that no index of packages knows; they were dropped.
	Unknown []string
	Note    string // of the model to the person
}

// parseProposal reads a proposal strictly: what does not fit its form is refused as a whole.
func parseProposal(text string) (modelProposal, error) {
	var p modelProposal
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("it is not the JSON that was asked for: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return p, errors.New("more follows the JSON")
	}
	if len(p.Needs) == 0 && p.Note == "" {
		return p, errors.New("it has neither needs nor a note")
	}
	if len(p.Needs) > events.MaxNeeds {
		return p, fmt.Errorf("%d needs are more than %d", len(p.Needs), events.MaxNeeds)
	}
	for _, n := range p.Needs {
		if n.Action != "install" {
			return p, fmt.Errorf("action %q is not install", n.Action)
		}
		if len(n.Candidates) == 0 || len(n.Candidates) > events.MaxCandidates {
			return p, fmt.Errorf("a need has %d candidates", len(n.Candidates))
		}
		for _, c := range n.Candidates {
			if err := events.PackageName(c.Name).Validate(); err != nil {
				return p, fmt.Errorf("%q is not the name of a package", c.Name)
			}
		}
	}
	return p, nil
}

// ReadProposal reads a model's answer and holds it against the index of packages: what
// is not there is dropped, and told. Descriptions are the index's, never the
// model's.
func ReadProposal(text string, find func(events.PackageName) (events.Candidate, bool)) (Proposal, error) {
	p, err := parseProposal(text)
	if err != nil {
		return Proposal{}, &events.Error{Op: "ask.Propose", Kind: events.ErrUnavailable, Subject: "the model's answer", Err: err}
	}
	out := Proposal{Note: events.SanitizeLine(p.Note, maxNote)}
	for _, n := range p.Needs {
		need := events.Need{Phrase: events.SanitizeLine(n.Words, maxReason)}
		for i, c := range n.Candidates {
			known, ok := find(events.PackageName(c.Name))
			switch {
			case !ok:
				out.Unknown = append(out.Unknown, c.Name)
				continue
			case slices.ContainsFunc(need.Candidates, func(k events.Candidate) bool { return k.Name == known.Name }):
				continue
			}
			known.Score = 1 - float64(i)/float64(len(n.Candidates))
			known.Reasons = []string{"the model says: " + events.SanitizeLine(c.Why, maxReason)}
			need.Candidates = append(need.Candidates, known)
		}
		if len(need.Candidates) > 0 {
			out.Needs = append(out.Needs, need)
		}
	}
	return out, nil
}
