package projectiontest

import (
	"fmt"

	"cortex/events"
)

// memory records a stated preference, a dismissed suggestion or a deletion.
func (w *historyGenerator) memory() {
	switch w.choose(6) {
	case 0:
		w.appendMachineFact(&events.MemoryForgotten{UID: 1000, Entries: []string{fmt.Sprint("p", w.choose(99)), fmt.Sprint("c", w.choose(99)), fmt.Sprint("f", w.choose(99))}})
	case 1, 2:
		w.appendMachineFact(&events.SuggestionDismissed{UID: 1000, Suggestion: fmt.Sprint("f", w.choose(99))})
	default:
		w.appendMachineFact(&events.PreferenceStated{UID: 1000, Text: events.Sealed{Key: w.id(), Nonce: []byte{1}, Text: []byte{2, 3}}})
	}
}
