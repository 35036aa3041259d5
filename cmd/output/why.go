package output

import (
	"fmt"
	"io"
	"time"

	"cortex/cmd/app"
	"cortex/events"
)

// Reason prints why a package is installed.
func Reason(w io.Writer, r app.Reason) {
	switch t := r.Transaction; {
	case t == nil:
		fmt.Fprintf(w, "%s was installed before cortex\n", r.Package)
	case t.State == events.StateObserved:
		fmt.Fprintf(w, "%s was installed outside cortex in transaction %d on %s: %s, by %s\n", r.Package, t.Number, t.EndedAt.In(time.Local).Format(minuteLayout), t.CommandLine, ActorName(t.Actor))
	default:
		fmt.Fprintf(w, "%s was installed in transaction %d on %s by %s: %s\n", r.Package, t.Number, t.EndedAt.In(time.Local).Format(minuteLayout), ActorName(t.Actor), t.CommandLine)
	}
	switch {
	case !r.Automatic:
		fmt.Fprintln(w, "it is marked as manually installed")
	case len(r.Chain) == 0:
		fmt.Fprintln(w, "it is marked as automatically installed, and no manually installed package needs it any more")
	default:
		fmt.Fprintln(w, "it is marked as automatically installed:")
		for _, d := range r.Chain {
			fmt.Fprintf(w, "  %s %s %s\n", d.From, d.Relation, d.To)
		}
	}
}
