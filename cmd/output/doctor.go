package output

import (
	"fmt"
	"io"

	"cortex/cmd/doctor"
)

// Findings prints the findings of a diagnosis, each with its fix.
func Findings(w io.Writer, list []doctor.Finding) {
	signs := map[doctor.Severity]string{doctor.OK: "ok", doctor.Note: "note", doctor.Problem: "PROBLEM"}
	last := ""
	for _, f := range list {
		name := f.Check
		if name == last {
			name = ""
		}
		last = f.Check
		fmt.Fprintf(w, "%-12s %-8s %s\n", name, signs[f.Severity], f.Message)
		if f.Fix != "" {
			fmt.Fprintf(w, "%-21s → %s\n", "", f.Fix)
		}
	}
}
