package projectiontest_test

import (
	"math/rand/v2"
	"testing"

	"cortex/events"
	"cortex/projections/projectiontest"
)

func TestGenerateContainsEveryKindInAValidChain(t *testing.T) {
	records := projectiontest.Generate(rand.New(rand.NewPCG(1, 2)).IntN, 5000)
	seen := map[events.Kind]bool{}
	states := map[events.TransactionState]bool{}
	transactions := map[events.TransactionID]*events.Transaction{}
	nouns := map[events.Kind]string{}
	for _, e := range events.Registry() {
		if e.Fact != nil {
			nouns[e.Kind] = e.Noun
		}
	}
	for _, v := range events.Verbs {
		nouns[events.RequestedKind(v)] = nouns[events.KindPerVerb]
	}
	inventory := events.Inventory{}
	var prev events.Link
	for _, r := range records {
		if err := r.Verify(prev); err != nil {
			t.Fatal(err)
		}
		prev = r.Link()
		seen[r.Kind] = true
		if r.Subject.Noun != nouns[r.Kind] {
			t.Errorf("%s: the registry has the noun %s", r, nouns[r.Kind])
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range events.ChangesOf(f) {
			if inventory[c.PackageKey] != c.Before {
				t.Fatalf("%s: %s was %s", r, c.PackageKey, inventory[c.PackageKey])
			}
		}
		inventory.Apply(f)
		if r.Subject.Noun != "txn" {
			continue
		}
		x := transactions[r.Transaction]
		if x == nil {
			x = &events.Transaction{}
			transactions[r.Transaction] = x
		}
		if err := x.Apply(r); err != nil {
			t.Fatal(err)
		}
		states[x.State] = true
	}
	for _, k := range events.FactKinds() {
		if !seen[k] {
			t.Errorf("%s does not occur", k)
		}
	}
	for _, s := range events.TransactionStates {
		if !states[s] {
			t.Errorf("no transaction is in state %s", s)
		}
	}
	projectiontest.Log(t, records) // fails if a log refuses a record
}
