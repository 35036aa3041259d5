package output

import (
	"fmt"
	"strings"

	"cortex/cmd/units"
	"cortex/events"
)

// maxNotifiedNames is the maximum number of packages named in the title of a notification.
const maxNotifiedNames = 3

// Notification returns how a transaction ended, as a title and a line.
func Notification(t *events.Transaction) (title, text string) {
	var names []string
	for _, c := range t.Plan.Changes {
		names = append(names, string(c.Name))
	}
	subject := strings.Join(names[:min(maxNotifiedNames, len(names))], ", ")
	if more := len(names) - maxNotifiedNames; more > 0 {
		subject += fmt.Sprintf(" and %d more", more)
	}
	title = fmt.Sprintf("%s %s: %s", t.Intent.Verb, subject, t.State)
	text = fmt.Sprintf("transaction %d, %s changed", t.Number, units.Count(len(t.Changes), "package"))
	if t.Failure != nil {
		text = fmt.Sprintf("transaction %d: %s", t.Number, events.SanitizeLine(t.Failure.Message, 200))
	}
	return title, text
}
