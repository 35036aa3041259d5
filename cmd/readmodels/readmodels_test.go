package readmodels_test

import (
	"errors"
	"strings"
	"testing"

	"cortex/cmd/readmodels"
	"cortex/events"
)

func TestByNameFindsEachReadModel(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range readmodels.Definitions() {
		if seen[d.Name] {
			t.Errorf("two read models have the name %s", d.Name)
		}
		seen[d.Name] = true
		if got, err := readmodels.ByName(d.Name); err != nil || got.Name != d.Name || got.Schema != d.Schema {
			t.Errorf("ByName(%s) returned %s, %v", d.Name, got.Name, err)
		}
	}
	_, err := readmodels.ByName("unknown")
	if !errors.Is(err, events.ErrNotFound) {
		t.Fatalf("unknown name: %v", err)
	}
	for name := range seen {
		if !strings.Contains(events.HintOf(err), name) {
			t.Errorf("the hint %q does not list %s", events.HintOf(err), name)
		}
	}
}
