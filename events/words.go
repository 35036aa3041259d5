package events

import "fmt"

// Candidate is one package that may be what was asked for in words.
type Candidate struct {
	Name        PackageName `json:"name"`
	Version     Version     `json:"version,omitempty"`
	Description string      `json:"description"` // one line, without control characters
	Score       float64     `json:"score"`       // higher is better; comparable within one need only
	Reasons     []string    `json:"reasons"`
}

// Need is one thing that was asked for, and the packages that may be meant, the
// best first.
type Need struct {
	Phrase     string      `json:"words"`
	Candidates []Candidate `json:"candidates"`
	// ExactName says that the words are the name of the one candidate, so that nobody
	// has to choose.
	ExactName bool `json:"exact,omitempty"`
	// Margin is the distance of the first candidate from the second, 0 to 1.
	Margin float64 `json:"sure"`
}

// Choice is what a person chose for one need.
type Choice struct {
	Phrase string        `json:"words"` // without secrets, in one line
	Names  []PackageName `json:"names"`
}

// validateChosen reports what is wrong with the choices.
func (in Intent) validateChosen() []error {
	var errs []error
	if len(in.Chosen) > MaxNeeds {
		errs = append(errs, fmt.Errorf("%d choices are more than %d", len(in.Chosen), MaxNeeds))
	}
	for _, c := range in.Chosen {
		if c.Phrase == "" || len(c.Phrase) > MaxTextBytes || len(c.Names) == 0 || len(c.Names) > MaxCandidates {
			errs = append(errs, fmt.Errorf("a choice of %d packages for words of %d bytes", len(c.Names), len(c.Phrase)))
		}
		for _, n := range c.Names {
			errs = append(errs, n.Validate())
		}
	}
	return errs
}
