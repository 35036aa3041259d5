package output

import (
	"fmt"
	"io"

	"cortex/consumers/policy"
)

// PolicyRules prints the rules of the policy.
func PolicyRules(w io.Writer, list []policy.Rule, version string) {
	rows := [][]string{{"RULE", "FROM", "DENIES WHEN"}}
	for _, r := range list {
		from := r.Source
		if r.BuiltIn {
			from = "built in"
		}
		rows = append(rows, []string{r.Name, from, r.Deny})
	}
	table(w, "", rows)
	fmt.Fprintf(w, "version %s\n", version)
}

// PolicyCases prints the results of policy tests.
func PolicyCases(w io.Writer, list []policy.TestResult) {
	for _, r := range list {
		if r.OK {
			fmt.Fprintf(w, "ok    %s: %s\n", r.Name, r.Got)
			continue
		}
		fmt.Fprintf(w, "FAIL  %s: wanted %s, got %s\n", r.Name, r.Want, r.Got)
	}
}
