package output

import (
	"fmt"
	"io"

	"cortex/consumers/treehead"
)

// AuditVerification tells what verifying the log found.
func AuditVerification(w io.Writer, v treehead.VerifyResult) {
	for _, f := range v.Faults {
		fmt.Fprintln(w, f)
	}
	if !v.OK() {
		fmt.Fprintf(w, "%s, in %s read\n", Count(len(v.Faults), "fault"), Count(int(v.Events), "event"))
		return
	}
	fmt.Fprintf(w, "%s, each as it was written\n", Count(int(v.Events), "event"))
	fmt.Fprintf(w, "signed       up to event %d, by %s\n", v.SignedUpTo, Count(v.Heads, "head"))
	if v.TrustedSize > 0 {
		fmt.Fprintf(w, "carried      the head of %s holds; %s since\n", Count(int(v.TrustedSize), "event"), Count(int(v.Events-v.TrustedSize), "event"))
	}
	fmt.Fprintf(w, "root         %s\n", v.Root)
}
