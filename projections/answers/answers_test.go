package answers_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
	"cortex/projections/answers"
	"cortex/projections/projectiontest"
)

func TestMain(m *testing.M) { projectiontest.Main(m) }

func TestContract(t *testing.T) { projectiontest.Run(t, answers.Definition()) }

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func id(n int) events.ID { return events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", n)) }

// step is a fact and its time.
type step struct {
	fact events.Fact
	at   time.Time
}

func build(t projectiontest.TB, steps []step) *answers.Reader {
	t.Helper()
	return buildOn(t, answers.Definition(), steps)
}

func buildOn(t projectiontest.TB, d projections.Definition, steps []step) *answers.Reader {
	t.Helper()
	ctx := context.Background()
	log := memlog.New(projectiontest.Host)
	for i, s := range steps {
		e, err := events.NewFactEvent(events.Event{
			ID: id(i + 1), Host: projectiontest.Host, Subject: events.MachineSubject(projectiontest.Host), Time: s.at,
		}, s.fact)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(ctx, e, events.NoExpectation); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "answers")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m, err := projections.New(d, projectiontest.Open, projections.Config{
		Dir: dir, OnDeadLetter: func(d projections.DeadLetter) { t.Errorf("%s", d) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Open(ctx, log); err != nil {
		t.Fatal(err)
	}
	db, err := projectiontest.OpenReader(m.Path())
	if err != nil {
		t.Fatal(err)
	}
	r := answers.NewReader(db)
	t.Cleanup(func() {
		if err := errors.Join(r.Close(), db.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func completed(exact, canonical, answer string) step {
	return step{&events.LLMCompleted{
		Scope: "here", ExactKey: exact, CanonicalKey: canonical, Task: "install", Model: "m", Question: "q", Answer: answer, Cost: 100,
	}, noon}
}

func later(s step, d time.Duration) step {
	s.at = s.at.Add(d)
	return s
}

// used is a use of the answer of step n.
func used(n int) step {
	return step{&events.LLMCompleted{Cache: "exact", CachedFrom: id(n)}, noon}
}

func TestLookup(t *testing.T) {
	r := build(t, []step{completed("e1", "c1", "first"), completed("e2", "c1", "second"), completed("e3", "", "third"), later(completed("e4", "c4", "old"), -answers.TTL)})
	for name, c := range map[string]struct {
		want   answers.LookupKeys
		answer string
		how    answers.MatchedBy
	}{
		"same question":                         {answers.LookupKeys{Scope: "here", ExactKey: "e1", CanonicalKey: "c9"}, "first", answers.MatchedByExactKey},
		"same canonical key, the newest":        {answers.LookupKeys{Scope: "here", ExactKey: "e9", CanonicalKey: "c1"}, "second", answers.MatchedByCanonicalKey},
		"no canonical key":                      {answers.LookupKeys{Scope: "here", ExactKey: "e9"}, "", ""},
		"another question":                      {answers.LookupKeys{Scope: "here", ExactKey: "e9", CanonicalKey: "c9"}, "", ""},
		"another scope":                         {answers.LookupKeys{Scope: "there", ExactKey: "e1", CanonicalKey: "c1"}, "", ""},
		"expired":                               {answers.LookupKeys{Scope: "here", ExactKey: "e4", CanonicalKey: "c4"}, "", ""},
		"a canonical key used as the exact key": {answers.LookupKeys{Scope: "here", ExactKey: "c1"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Now = noon
			a, how, ok, err := r.Lookup(t.Context(), c.want)
			if err != nil || ok != (c.answer != "") || ok && (a.Answer != c.answer || how != c.how) {
				t.Errorf("got %+v, %s, %v, %v", a, how, ok, err)
			}
		})
	}
	if _, _, ok, err := r.Lookup(t.Context(), answers.LookupKeys{Scope: "here", ExactKey: "e1", Now: noon.Add(answers.TTL - 1)}); !ok || err != nil {
		t.Errorf("right before it expires: %v, %v", ok, err)
	}
	if _, _, ok, err := r.Lookup(t.Context(), answers.LookupKeys{Scope: "here", ExactKey: "e1", Now: noon.Add(answers.TTL)}); ok || err != nil {
		t.Errorf("when it expires: %v, %v", ok, err)
	}
}

func TestScopesDiffer(t *testing.T) {
	base := answers.Scope{Release: "debian-12", Arch: "amd64", Hardware: "server", Indexes: "1", Schema: "2"}
	seen := map[string]bool{base.Hash(): true}
	for _, change := range []func(*answers.Scope){
		func(s *answers.Scope) { s.Release = "debian-13" },
		func(s *answers.Scope) { s.Arch = "arm64" },
		func(s *answers.Scope) { s.Hardware = "laptop" },
		func(s *answers.Scope) { s.Indexes = "2" },
		func(s *answers.Scope) { s.Schema = "1" },
		func(s *answers.Scope) { s.Release, s.Arch = "debian-1", "2amd64" },
	} {
		s := base
		change(&s)
		if seen[s.Hash()] {
			t.Errorf("%+v has the hash of another scope", s)
		}
		seen[s.Hash()] = true
	}
}

func TestTotalsAfterDeletion(t *testing.T) {
	steps := []step{
		completed("e1", "", "one"), completed("e2", "", "two"), completed("e1", "", "one again"), completed("e3", "", "three"), completed("e4", "", "four"),
		used(2), used(2), used(2), used(1),
		{&events.AnswersForgotten{Answers: []events.ID{id(4), id(1)}}, noon},
		completed("long", "", strings.Repeat("x", answers.MaxAnswerBytes+1)),
	}
	r := build(t, steps)
	got, err := r.Totals(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := answers.Totals{Answers: 3, Bytes: got.Bytes, BytesMax: answers.MaxBytes, Stored: 5, Uses: 3, Saved: 300, Replaced: 1, Forgotten: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	list, err := r.List(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	var bytes int64
	for _, a := range list {
		texts = append(texts, a.Answer)
		bytes += a.Bytes
	}
	if diff := cmp.Diff([]string{"two", "four", "one again"}, texts); diff != "" || bytes != got.Bytes {
		t.Errorf("%d bytes are %d (-want +got)\n%s", bytes, got.Bytes, diff)
	}
	all := build(t, append(steps, step{&events.AnswersForgotten{All: true}, noon}))
	if got, err := all.Totals(t.Context()); err != nil || got.Answers != 0 || got.Bytes != 0 || got.Forgotten != 4 {
		t.Errorf("after deleting all: %+v, %v", got, err)
	}
	expired := build(t, append(steps, later(completed("e9", "", "nine"), answers.TTL)))
	if got, err := expired.Totals(t.Context()); err != nil || got.Answers != 1 || got.Expired != 3 {
		t.Errorf("after they expired: %+v, %v", got, err)
	}
}

func TestGet(t *testing.T) {
	r := build(t, []step{completed("e1", "", "one"), completed("e2", "", "two")})
	for ref, want := range map[string]events.ErrorKind{"1": "", string(id(2)): "", "000002": "", "00000000": events.ErrNotFound, "7": events.ErrNotFound, "": events.ErrUsage, "x'": events.ErrUsage} {
		a, err := r.Get(t.Context(), ref)
		if events.KindOf(err) != want {
			t.Errorf("%q returns %+v, %v", ref, a, err)
		}
	}
}

// The reference is a list in the order of use.
func TestEvictionIsLeastRecentlyUsed(t *testing.T) {
	const maxBytes = 20_000
	rapid.Check(t, func(rt *rapid.T) {
		var order []int // numbers of steps, least recently used first
		var steps []step
		sizes, total := map[int]int{}, 0
		for i := 1; i <= 60; i++ {
			if len(order) > 0 && rapid.IntRange(0, 2).Draw(rt, "use") == 0 {
				at := rapid.IntRange(0, len(order)-1).Draw(rt, "which")
				n := order[at]
				order = append(append(append([]int{}, order[:at]...), order[at+1:]...), n)
				steps = append(steps, used(n))
				continue
			}
			text := strings.Repeat("x", rapid.IntRange(0, 5000).Draw(rt, "bytes"))
			order = append(order, i)
			steps = append(steps, completed(fmt.Sprint(i), "", text))
			sizes[i] = 256 + len("here") + len(fmt.Sprint(i)) + len("install") + len("m") + len("q") + len(text)
			for total += sizes[i]; total > maxBytes; order = order[1:] {
				total -= sizes[order[0]]
			}
		}
		r := buildOn(rt, answers.Limited(maxBytes), steps)
		list, err := r.List(rt.Context(), 0)
		if err != nil {
			rt.Fatal(err)
		}
		var got []int
		for i := len(list) - 1; i >= 0; i-- {
			got = append(got, int(list[i].Position))
		}
		if diff := cmp.Diff(order, got); diff != "" {
			rt.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

func BenchmarkMiss(b *testing.B) {
	var steps []step
	for i := range 10_000 {
		steps = append(steps, completed(fmt.Sprintf("exact%027d", i), fmt.Sprintf("canon%027d", i), strings.Repeat("answer ", 100)))
	}
	r := build(b, steps)
	w := answers.LookupKeys{Scope: "here", ExactKey: "no such", CanonicalKey: "nor such", Now: noon}
	for b.Loop() {
		if _, _, ok, err := r.Lookup(b.Context(), w); ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
