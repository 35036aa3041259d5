package logtest

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
)

func testReadEndsAtHead(t *testing.T, l events.Log) {
	for range 5 {
		Append(t, l, NewTransaction(), &events.Cancelled{})
	}
	head, n := headOf(t, l).Position, events.Position(0)
	for r, err := range l.Read(t.Context(), events.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; r.Position != n {
			t.Fatalf("read %d, want %d", r.Position, n)
		}
		Append(t, l, NewTransaction(), &events.Cancelled{})
	}
	if n != head {
		t.Errorf("read up to %d, the head was %d", n, head)
	}
}

func testFilters(t *testing.T, l events.Log) {
	a, b, c := NewTransaction(), NewTransaction(), NewTransaction()
	host := l.Host()
	start := headOf(t, l).Position
	var all []events.Record
	for _, s := range []events.Subject{a, b, c, a, b, c, a} {
		all = append(all, Append(t, l, s, &events.Cancelled{}))
		all = append(all, Append(t, l, s, &events.StepStarted{Op: events.OpInstall}))
	}
	pick := func(match func(events.Record) bool) []events.Record {
		var out []events.Record
		for _, r := range all {
			if match(r) {
				out = append(out, r)
			}
		}
		return out
	}
	of := func(subjects ...events.Subject) func(events.Record) bool {
		return func(r events.Record) bool {
			for _, s := range subjects {
				if r.Subject == s {
					return true
				}
			}
			return false
		}
	}
	byA, steps := events.FactFilter(host, a), events.KindFilter(host, events.KindStepStarted)
	for name, tt := range map[string]struct {
		q    events.Query
		want []events.Record
	}{
		"all after":        {events.Query{After: start}, all},
		"after some":       {events.Query{After: start + 5}, all[5:]},
		"after head":       {events.Query{After: start + 14}, nil},
		"beyond head":      {events.Query{After: start + 100}, nil},
		"one aggregate":    {events.Query{Filters: []string{byA}}, pick(of(a))},
		"the others of it": {events.Query{After: all[0].Position, Filters: []string{byA}}, pick(of(a))[1:]},
		"two":              {events.Query{Filters: []string{byA, events.FactFilter(host, b)}}, pick(of(a, b))},
		"a kind":           {events.Query{Filters: []string{steps}}, pick(func(r events.Record) bool { return r.Kind == events.KindStepStarted })},
		"overlapping": {events.Query{Filters: []string{byA, steps}}, pick(func(r events.Record) bool {
			return r.Subject == a || r.Kind == events.KindStepStarted
		})},
		"one exactly": {events.Query{Filters: []string{events.FactSubject(all[2].Event)}}, pick(func(r events.Record) bool {
			return r.Subject == b && r.Kind == events.KindCancelled
		})},
		"nothing": {events.Query{Filters: []string{events.FactFilter(host, NewTransaction())}}, nil},
	} {
		if diff := cmp.Diff(tt.want, ReadAll(t, l, tt.q)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func testReadLeftEarly(t *testing.T, l events.Log) {
	for range 10 {
		Append(t, l, NewTransaction(), &events.Cancelled{})
	}
	for range 20 {
		for _, err := range l.Read(t.Context(), events.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		for _, err := range l.Follow(t.Context(), events.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	Append(t, l, NewTransaction(), &events.Cancelled{})
}

func testLast(t *testing.T, l events.Log) {
	s := NewTransaction()
	filter := events.FactFilter(l.Host(), s)
	if r, ok, err := l.Last(t.Context(), filter); ok || err != nil {
		t.Errorf("of nothing: %v, %v, %v", r, ok, err)
	}
	Append(t, l, s, &events.Cancelled{})
	want := Append(t, l, s, &events.StepStarted{Op: events.OpInstall})
	Append(t, l, NewTransaction(), &events.Cancelled{})
	got, ok, err := l.Last(t.Context(), filter)
	if err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("last (-want +got):\n%s", diff)
	}
}

func testReopen(t *testing.T, l events.Log, reopen func() events.Log) {
	host, s := l.Host(), NewTransaction()
	e := NewEvent(t, host, s, &events.Cancelled{})
	first, err := l.Append(t.Context(), e, events.Expect{Subject: s})
	if err != nil {
		t.Fatal(err)
	}
	loose := NewEvent(t, host, NewTransaction(), &events.Cancelled{})
	stored, err := l.Append(t.Context(), loose, events.NoExpectation)
	if err != nil {
		t.Fatal(err)
	}
	second := Append(t, l, s, &events.Cancelled{})
	before := VerifyAll(t, l)

	for range 3 {
		l = reopen()
		if l.Host() != host {
			t.Fatalf("the host is %s, it was %s", l.Host(), host)
		}
		if diff := cmp.Diff(before, VerifyAll(t, l)); diff != "" {
			t.Fatalf("after reopening (-before +after):\n%s", diff)
		}
		for _, again := range []struct {
			event  events.Event
			expect events.Expect
			want   events.Record
		}{{e, events.Expect{Subject: s}, first}, {e, events.NoExpectation, first}, {loose, events.NoExpectation, stored}} {
			got, err := l.Append(t.Context(), again.event, again.expect)
			if err != nil {
				t.Fatalf("append again: %v", err)
			}
			if diff := cmp.Diff(again.want, got); diff != "" {
				t.Errorf("append again (-stored +got):\n%s", diff)
			}
		}
		if _, err := l.Append(t.Context(), NewEvent(t, host, s, &events.Cancelled{}), events.Expect{Subject: s}); events.KindOf(err) != events.ErrConflict {
			t.Errorf("expecting nothing of %s: %v, want a conflict", s, err)
		}
		next, err := l.Append(t.Context(), NewEvent(t, host, s, &events.Cancelled{}), events.Expect{Subject: s, LastPosition: second.Position})
		if err != nil {
			t.Fatal(err)
		}
		second, before = next, append(before, next)
	}
	VerifyAll(t, l)
}
