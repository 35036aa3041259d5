package output

import (
	"fmt"
	"io"

	"cortex/cmd/units"
	"cortex/consumers/treehead"
)

// AuditVerification prints the result of verifying the log.
func AuditVerification(w io.Writer, v treehead.VerifyResult) {
	for _, f := range v.Faults {
		fmt.Fprintln(w, f)
	}
	if !v.OK() {
		fmt.Fprintf(w, "%s found in %s\n", units.Count(len(v.Faults), "fault"), units.Count(int(v.Events), "event"))
		return
	}
	fmt.Fprintf(w, "%s verified, none changed\n", units.Count(int(v.Events), "event"))
	fmt.Fprintf(w, "signed       up to event %d, by %s\n", v.SignedUpTo, units.Count(v.Heads, "head"))
	if v.TrustedSize > 0 {
		fmt.Fprintf(w, "since head   the head of %s matches; %s since\n", units.Count(int(v.TrustedSize), "event"), units.Count(int(v.Events-v.TrustedSize), "event"))
	}
	fmt.Fprintf(w, "root         %s\n", v.Root)
}
