package policy

// TestResult is how one case of a test came out.
type TestResult struct {
	Name string `json:"name"`
	Want string `json:"want"` // "allow" or a rule
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
}
