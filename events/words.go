package events

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
	Words      string      `json:"words"`
	Candidates []Candidate `json:"candidates"`
	// Exact says that the words are the name of the one candidate, so that nobody
	// has to choose.
	Exact bool `json:"exact,omitempty"`
	// Sure is the distance of the first candidate from the second, 0 to 1.
	Sure float64 `json:"sure"`
}
