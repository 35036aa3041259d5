package policy

// TestResult is the result of one test case of rules.
type TestResult struct {
	Name string `json:"name"`
	Want string `json:"want"` // "allow" or a rule
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
}
