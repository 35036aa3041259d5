package render

import (
	"fmt"
	"io"

	"cortex/consumers/auditor"
)

// Verdict tells what verifying the log found.
func Verdict(w io.Writer, v auditor.Verdict) {
	for _, f := range v.Faults {
		fmt.Fprintln(w, f)
	}
	if !v.OK() {
		fmt.Fprintf(w, "%s, in %s read\n", Count(len(v.Faults), "fault"), Count(int(v.Events), "event"))
		return
	}
	fmt.Fprintf(w, "%s, each as it was written\n", Count(int(v.Events), "event"))
	fmt.Fprintf(w, "signed       up to event %d, by %s\n", v.Signed, Count(v.Heads, "head"))
	if v.Since > 0 {
		fmt.Fprintf(w, "carried      the head of %s holds; %s since\n", Count(int(v.Since), "event"), Count(int(v.Events-v.Since), "event"))
	}
	fmt.Fprintf(w, "root         %s\n", v.Root)
}
