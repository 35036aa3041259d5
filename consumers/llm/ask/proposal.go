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

// Proposal is a model's answer after it was checked against the package index.
type Proposal struct {
	Needs []events.Need
	// Unknown are the names that the package index does not have; they were removed.
	Unknown []string
	Note    string // from the model to the user
}

// parseProposal parses a proposal strictly: one fault refuses it as a whole.
func parseProposal(text string) (modelProposal, error) {
	var p modelProposal
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("not the requested JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return p, errors.New("text follows the JSON")
	}
	if len(p.Needs) == 0 && p.Note == "" {
		return p, errors.New("neither needs nor a note")
	}
	if len(p.Needs) > events.MaxNeeds {
		return p, fmt.Errorf("%d needs; at most %d are allowed", len(p.Needs), events.MaxNeeds)
	}
	for _, n := range p.Needs {
		if n.Action != "install" {
			return p, fmt.Errorf("invalid action %q; only install is allowed", n.Action)
		}
		if len(n.Candidates) == 0 || len(n.Candidates) > events.MaxCandidates {
			return p, fmt.Errorf("a need has %d candidates; 1 to %d are allowed", len(n.Candidates), events.MaxCandidates)
		}
		for _, c := range n.Candidates {
			if err := events.PackageName(c.Name).Validate(); err != nil {
				return p, fmt.Errorf("invalid package name %q", c.Name)
			}
		}
	}
	return p, nil
}

// ReadProposal parses a model's answer and checks it against the package index. find
// looks a name up; names that it does not find are removed and listed in Unknown.
// Descriptions come from the index, never from the model.
func ReadProposal(text string, find func(events.PackageName) (events.Candidate, bool)) (Proposal, error) {
	p, err := parseProposal(text)
	if err != nil {
		return Proposal{}, &events.Error{Op: "ask.ReadProposal", Kind: events.ErrUnavailable, Subject: "the model's answer", Err: err}
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
