package memory_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
	"cortex/projections/memory"
	"cortex/projections/projectiontest"
)

func TestMain(m *testing.M) { projectiontest.Main(m) }

func TestContract(t *testing.T) {
	projectiontest.Run(t, memory.Definition())
}

const ada, bob = 1000, 1001

func id(n int) events.ID { return events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", n)) }

// step is a fact and the number of its transaction, or 0.
type step struct {
	txn  int
	fact events.Fact
}

func chose(txn int, words string, names ...events.PackageName) step {
	in := events.Intent{Verb: events.VerbInstall, Chosen: []events.Choice{{Phrase: words, Names: names}}}
	for _, n := range names {
		in.Packages = append(in.Packages, events.PackageRef{Name: n})
	}
	return step{txn, &events.Requested{Number: txn, Intent: in}}
}

func worked(txn int) step { return step{txn, &events.Succeeded{}} }

func broke(txn int, name string) step {
	return step{txn, &events.Failed{Failure: events.Failure{Kind: events.ErrApt, Subject: name, Message: "post-installation script failed"}}}
}

// unseal returns the text if the nonce has one byte.
func unseal(_ int, s events.Sealed) (string, bool) { return string(s.Text), len(s.Nonce) == 1 }

func build(t *testing.T, list ...step) *memory.Reader {
	t.Helper()
	log := memlog.New(projectiontest.Host)
	m, err := projections.New(memory.Definition(), projectiontest.Open, projections.Config{
		Dir: t.TempDir(), OnDeadLetter: func(d projections.DeadLetter) { t.Errorf("%s", d) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range list {
		e := events.Event{
			ID: id(i + 1), Host: projectiontest.Host, Subject: events.MachineSubject(projectiontest.Host), Actor: events.Actor{UID: ada},
			Time: time.Date(2026, 11, 23, 12, 0, i, 0, time.UTC),
		}
		if f.txn != 0 {
			e.Transaction = events.TransactionID(id(1000 + f.txn))
			e.Subject = events.TransactionSubject(e.Transaction)
		}
		if e, err = events.NewFactEvent(e, f.fact); err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(t.Context(), e, events.NoExpectation); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Open(context.Background(), log); err != nil {
		t.Fatal(err)
	}
	db, err := projectiontest.OpenReader(m.Path())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(db.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	})
	return memory.NewReader(db, ada, unseal)
}

func list(t *testing.T, r *memory.Reader) []memory.RememberedItem {
	t.Helper()
	entries, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func chosen(t *testing.T, r *memory.Reader, words string) []memory.ChoiceCount {
	t.Helper()
	c, err := r.PastChoices(t.Context(), words)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSuccessfulChoicesAreLearned(t *testing.T) {
	r := build(t, chose(1, "A  database", "postgresql-15"), worked(1), chose(2, "a database", "sqlite3"), broke(2, "sqlite3"),
		chose(3, "a database", "mariadb-server"), worked(3), chose(4, "a Database", "postgresql-15"), worked(4))
	want := []memory.ChoiceCount{{Package: "postgresql-15", TimesChosen: 2, TimesAsked: 3}, {Package: "mariadb-server", TimesChosen: 1, TimesAsked: 3}}
	if diff := cmp.Diff(want, chosen(t, r, " a DATABASE")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	e := list(t, r)[0]
	wantEntry := memory.RememberedItem{
		Name: "c1", Kind: memory.ItemLearned, Text: `for "a database" you chose postgresql-15, 2 of 3 times`, At: time.Date(2026, 11, 23, 12, 0, 6, 0, time.UTC),
		Phrase: "a database", Package: "postgresql-15", TimesChosen: 2, TimesAsked: 3, Confidence: 0.5, Events: []events.ID{id(7), id(1)},
	}
	if diff := cmp.Diff(wantEntry, e); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestUndoneChoiceIsNotCounted(t *testing.T) {
	undone := step{1, &events.Compensated{By: events.TransactionID(id(9)), Exact: true}}
	r := build(t, chose(1, "a cow", "cowsay"), worked(1), undone, undone)
	if c := chosen(t, r, "a cow"); len(c) != 0 {
		t.Errorf("%v", c)
	}
	r = build(t, chose(1, "a cow", "cowsay"), worked(1), chose(2, "a cow", "cowsay"), worked(2), undone, undone)
	if c := chosen(t, r, "a cow"); len(c) != 1 || c[0].TimesChosen != 1 {
		t.Errorf("%v", c)
	}
}

func TestLaterSuccessFixesAFailure(t *testing.T) {
	r := build(t, chose(1, "a cow", "cowsay"), broke(1, "cowsay"), chose(2, "trains", "sl"), broke(2, "sl"), chose(3, "a cow", "cowsay"), worked(3))
	var got []string
	for _, e := range list(t, r) {
		if e.Kind == memory.ItemFailure {
			got = append(got, fmt.Sprint(e.Name, " ", e.Package, " ", e.FixedBy, " ", len(e.Events)))
		}
	}
	if diff := cmp.Diff([]string{"f4 sl 0 1", "f2 cowsay 3 2"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func suggested(t *testing.T, r *memory.Reader) (ids []string) {
	t.Helper()
	found, err := r.Suggestions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range found {
		if len(s.Events) == 0 {
			t.Errorf("%s names no events", s.ID)
		}
		ids = append(ids, s.ID)
	}
	return ids
}

func TestSuggestionsAreHabitsAndOpenFailures(t *testing.T) {
	facts := []step{
		chose(1, "a cow", "cowsay"), worked(1), chose(2, "a cow", "cowsay"), worked(2), chose(3, "trains", "sl"), broke(3, "sl"),
	}
	if diff := cmp.Diff([]string{"c1", "f6"}, suggested(t, build(t, facts...))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	facts = append(facts, step{0, &events.SuggestionDismissed{UID: ada, Suggestion: "c1"}}, step{0, &events.SuggestionDismissed{UID: bob, Suggestion: "f6"}})
	if diff := cmp.Diff([]string{"f6"}, suggested(t, build(t, facts...))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func said(text string, nonce ...byte) step {
	return step{0, &events.PreferenceStated{UID: ada, Text: events.Sealed{Key: id(7), Nonce: nonce, Text: []byte(text)}}}
}

func TestDeletedItemsAreNotRestored(t *testing.T) {
	facts := []step{said("no mail servers", 1), said("editors in the terminal", 1), chose(1, "a cow", "cowsay"), worked(1), chose(2, "trains", "sl"), broke(2, "sl")}
	names := func(r *memory.Reader) (out []string) {
		for _, e := range list(t, r) {
			out = append(out, e.Name)
		}
		return out
	}
	for name, c := range map[string]struct {
		forgotten events.MemoryForgotten
		want      []string
	}{
		"one of each":        {events.MemoryForgotten{UID: ada, Entries: []string{"p1", "c3", "f6"}}, []string{"p2"}},
		"all":                {events.MemoryForgotten{UID: ada, All: true}, nil},
		"all of another":     {events.MemoryForgotten{UID: bob, All: true}, []string{"p2", "p1", "c3", "f6"}},
		"entries of another": {events.MemoryForgotten{UID: bob, Entries: []string{"p1", "c3", "f6"}}, []string{"p2", "p1", "c3", "f6"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := build(t, append(facts[:len(facts):len(facts)], step{0, &c.forgotten})...)
			if diff := cmp.Diff(c.want, names(r)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	t.Run("an undo of a deleted choice does not reduce later choices", func(t *testing.T) {
		r := build(t, append(facts[:len(facts):len(facts)], step{0, &events.MemoryForgotten{UID: ada, All: true}},
			chose(3, "a cow", "cowsay"), worked(3), step{1, &events.Compensated{By: events.TransactionID(id(9)), Exact: true}})...)
		if c := chosen(t, r, "a cow"); len(c) != 1 || c[0].TimesChosen != 1 {
			t.Errorf("%v", c)
		}
	})
	t.Run("without its key", func(t *testing.T) {
		if e := list(t, build(t, said("no mail servers"))); !e[0].Unreadable {
			t.Errorf("%+v", e)
		}
	})
}
