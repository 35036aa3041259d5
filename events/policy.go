package events

// Denial is the policy rule that forbids a plan, and its message.
type Denial struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
}
