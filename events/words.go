package events

import "fmt"

// Candidate is one package that may match a request in words.
type Candidate struct {
	Name        PackageName `json:"name"`
	Version     Version     `json:"version,omitempty"`
	Description string      `json:"description"` // one line, without control characters
	Score       float64     `json:"score"`       // higher is better; comparable within one need only
	Reasons     []string    `json:"reasons"`
}

// Need is one part of a request in words, with the packages that may match it, the best
// first.
type Need struct {
	Phrase     string      `json:"words"`
	Candidates []Candidate `json:"candidates"`
	// ExactName means that the words are the name of the one candidate, so that the user
	// does not have to choose.
	ExactName bool `json:"exact,omitempty"`
	// Margin is the distance of the first candidate from the second, 0 to 1.
	Margin float64 `json:"sure"`
}

// Choice is the user's choice for one need.
type Choice struct {
	Phrase string        `json:"words"` // one line, without secrets
	Names  []PackageName `json:"names"`
}

// validateChosen returns the problems of the choices.
func (in Intent) validateChosen() []error {
	var errs []error
	if len(in.Chosen) > MaxNeeds {
		errs = append(errs, fmt.Errorf("%d choices; at most %d are allowed", len(in.Chosen), MaxNeeds))
	}
	for _, c := range in.Chosen {
		if c.Phrase == "" || len(c.Phrase) > MaxTextBytes || len(c.Names) == 0 || len(c.Names) > MaxCandidates {
			errs = append(errs, fmt.Errorf("invalid choice: %d packages for a phrase of %d bytes", len(c.Names), len(c.Phrase)))
		}
		for _, n := range c.Names {
			errs = append(errs, n.Validate())
		}
	}
	return errs
}
