package output

import (
	"fmt"
	"io"
	"strings"

	"cortex/events"
)

// descriptionWidth bounds the description of a candidate.
const descriptionWidth = 60

// Candidates prints the packages that match words, numbered.
func Candidates(w io.Writer, needs []events.Need) {
	for _, n := range needs {
		fmt.Fprintf(w, "%s:\n", n.Phrase)
		width := 0
		for _, c := range n.Candidates {
			width = max(width, len(c.Name))
		}
		for i, c := range n.Candidates {
			fmt.Fprintf(w, "  %d  %-*s  %s\n", i+1, width, c.Name, shorten(c.Description, descriptionWidth))
			fmt.Fprintf(w, "     %-*s  %s (%.2f)\n", width, "", strings.Join(c.Reasons, "; "), c.Score)
		}
	}
}
