package events

// Denial says which rule of policy forbids a plan, and why.
type Denial struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
}
