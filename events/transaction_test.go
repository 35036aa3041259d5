package events_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"cortex/events"
)

func fold(facts ...events.Fact) (*events.Transaction, error) {
	records, err := chain(facts...)
	if err != nil {
		return nil, err
	}
	t := &events.Transaction{}
	for _, r := range records {
		if err := t.Apply(r); err != nil {
			return t, err
		}
	}
	return t, nil
}

var (
	requested = &events.Requested{Intent: sampleIntent(events.VerbInstall)}
	planned   = &events.Planned{PlanID: samplePlan().ID(), Plan: samplePlan()}
	refused   = &events.Refused{Failure: events.Failure{Kind: events.ErrStale, Message: "stale"}}
	approved  = &events.Approved{PlanID: samplePlan().ID(), How: "prompt"}
	denied    = &events.Denied{Rule: "r", Message: "m"}
	cancelled = &events.Cancelled{}
	started   = &events.Started{PlanID: samplePlan().ID()}
	step0     = &events.StepStarted{Index: 0, Op: events.OpInstall}
	step0ok   = &events.StepSucceeded{Index: 0, Output: "done"}
	step0bad  = &events.StepFailed{Index: 0, ExitCode: 100}
	step1     = &events.StepStarted{Index: 1, Op: events.OpMarkAuto}
	changes   = []events.PackageChange{{PackageKey: key("cowsay"), After: installed}}
	succeeded = &events.Succeeded{Changes: changes}
	failed    = &events.Failed{Changes: changes, Failure: events.Failure{Kind: events.ErrApt, Message: "x"}}
	cutOff    = &events.Interrupted{Changes: changes, Reason: "r"}
	undone    = &events.Compensated{By: txn, Exact: true}
)

func TestTransactionFoldsEveryLegalOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		facts    []events.Fact
		state    events.TransactionState
		undoable bool
	}{
		"dry run":                     {[]events.Fact{requested, planned}, events.StatePlanned, false},
		"refused at planning":         {[]events.Fact{requested, refused}, events.StateRefused, false},
		"denied":                      {[]events.Fact{requested, planned, denied}, events.StateDenied, false},
		"declined":                    {[]events.Fact{requested, planned, cancelled}, events.StateCancelled, false},
		"stale":                       {[]events.Fact{requested, planned, approved, refused}, events.StateRefused, false},
		"done":                        {[]events.Fact{requested, planned, approved, started, step0, step0ok, step1, &events.StepSucceeded{Index: 1}, succeeded}, events.StateSucceeded, true},
		"failed":                      {[]events.Fact{requested, planned, approved, started, step0, step0bad, failed}, events.StateFailed, true},
		"interrupted in a step":       {[]events.Fact{requested, planned, approved, started, step0, cutOff}, events.StateInterrupted, true},
		"interrupted before any step": {[]events.Fact{requested, planned, approved, started, &events.Interrupted{Reason: "r"}}, events.StateInterrupted, false},
		"undone":                      {[]events.Fact{requested, planned, approved, started, step0, step0ok, succeeded, undone}, events.StateSucceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fold(tc.facts...)
			if err != nil {
				t.Fatal(err)
			}
			if got.State != tc.state || got.Undoable() != tc.undoable {
				t.Errorf("state %s, undoable %v; want %s, %v", got.State, got.Undoable(), tc.state, tc.undoable)
			}
			if got.State.Ended() == got.EndedAt.IsZero() {
				t.Errorf("ended %v but at %v", got.State.Ended(), got.EndedAt)
			}
		})
	}
}

func TestTransactionRefusesImpossibleOrders(t *testing.T) {
	for name, facts := range map[string][]events.Fact{
		"without a request":           {planned},
		"requested twice":             {requested, requested},
		"approved without a plan":     {requested, approved},
		"started without an approval": {requested, planned, started},
		"started twice":               {requested, planned, approved, started, started},
		"step outside":                {requested, planned, step0},
		"step skipped":                {requested, planned, approved, started, step1},
		"step twice":                  {requested, planned, approved, started, step0, step0},
		"step ended twice":            {requested, planned, approved, started, step0, step0ok, step0ok},
		"step ended unstarted":        {requested, planned, approved, started, step0ok},
		"success after refusal":       {requested, refused, succeeded},
		"two ends":                    {requested, planned, approved, started, succeeded, failed},
		"undone before it ran":        {requested, planned, undone},
		"cancelled while running":     {requested, planned, approved, started, cancelled},
		"a fact of the machine":       {requested, &events.DriftDetected{}},
		"planned after it started":    {requested, planned, approved, started, planned},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := fold(facts...); !errors.Is(err, events.ErrCorrupt) {
				t.Errorf("folded to %s with error %v, want a corrupt error", got.State, err)
			}
		})
	}
}

func TestTransactionAppliesARecordOnce(t *testing.T) {
	records, err := chain(requested, planned, approved, started, step0, step0ok, succeeded, undone)
	if err != nil {
		t.Fatal(err)
	}
	var once, twice events.Transaction
	for i, r := range records {
		if err := once.Apply(r); err != nil {
			t.Fatal(err)
		}
		for _, old := range records[:i+1] {
			if err := twice.Apply(old); err != nil {
				t.Fatal(err)
			}
		}
	}
	if diff := cmp.Diff(once, twice); diff != "" {
		t.Errorf("(-once +twice):\n%s", diff)
	}
	if once.RequestedAt != records[0].Time || once.Actor != records[0].Actor || once.ApprovedHow != "prompt" || once.Steps[0].Output != "done" {
		t.Errorf("details were lost: %+v", once)
	}
}

// For every order of facts, a refused fact leaves the transaction unchanged, and an ended
// transaction stays ended.
func TestTransactionStaysEnded(t *testing.T) {
	all := []events.Fact{requested, planned, refused, approved, denied, cancelled, started, step0, step0ok, step0bad, step1, succeeded, failed, cutOff, undone}
	rapid.Check(t, func(rt *rapid.T) {
		facts := rapid.SliceOfN(rapid.SampledFrom(all), 1, 20).Draw(rt, "facts")
		records, err := chain(facts...)
		if err != nil {
			rt.Fatal(err)
		}
		var got events.Transaction
		for _, r := range records {
			before := got
			if got.Apply(r) != nil {
				if diff := cmp.Diff(before, got); diff != "" {
					rt.Fatalf("a refused fact changed the transaction:\n%s", diff)
				}
				continue
			}
			if before.State.Ended() && got.State != before.State {
				rt.Fatalf("%s became %s", before.State, got.State)
			}
		}
	})
}

func TestChainDetectsEveryChange(t *testing.T) {
	records, err := chain(requested, planned, approved)
	if err != nil {
		t.Fatal(err)
	}
	prev := records[0].Link()
	if err := records[1].Verify(prev); err != nil {
		t.Fatalf("an untouched record: %v", err)
	}
	for name, change := range map[string]func(*events.Record){
		"data":        func(r *events.Record) { r.Data = append([]byte(" "), r.Data...) },
		"kind":        func(r *events.Record) { r.Kind = events.KindRefused },
		"actor":       func(r *events.Record) { r.Actor.UID = 0 },
		"user":        func(r *events.Record) { r.Actor.User = "eve" },
		"time":        func(r *events.Record) { r.Time = r.Time.Add(1) },
		"id":          func(r *events.Record) { r.ID = id(99) },
		"host":        func(r *events.Record) { r.Host = "01940000-0000-7000-8000-000000000002" },
		"subject":     func(r *events.Record) { r.Subject.ID = string(id(5)) },
		"transaction": func(r *events.Record) { r.Transaction = "" },
		"causation":   func(r *events.Record) { r.Causation = id(5) },
		"correlation": func(r *events.Record) { r.Correlation = id(5) },
		"trace":       func(r *events.Record) { r.TraceParent = "" },
		"position":    func(r *events.Record) { r.Position++ },
		"prev":        func(r *events.Record) { r.Prev[0] ^= 1 },
		"hash":        func(r *events.Record) { r.Hash[31] ^= 1 },
	} {
		r := records[1]
		change(&r)
		if err := r.Verify(prev); !errors.Is(err, events.ErrCorrupt) {
			t.Errorf("a changed %s is not detected: %v", name, err)
		}
	}
	if err := records[2].Verify(prev); !errors.Is(err, events.ErrCorrupt) {
		t.Errorf("a hole is not detected: %v", err)
	}
}

func TestInventoryDiffAndApplyAreInverse(t *testing.T) {
	states := rapid.SampledFrom([]events.State{gone, installed, auto, half})
	rapid.Check(t, func(rt *rapid.T) {
		inventory := func(label string) events.Inventory {
			inv := events.Inventory{}
			for _, name := range []string{"aa", "bb", "cc", "dd"} {
				if s := states.Draw(rt, label+name); s.Known() {
					inv[key(name)] = s
				}
			}
			return inv
		}
		before, after := inventory("before"), inventory("after")
		now := events.NewInventory(before.Packages())
		now.Apply(&events.Succeeded{Changes: events.DiffInventories(before, after)})
		if diff := cmp.Diff(after, now); diff != "" {
			rt.Fatalf("(-want +got):\n%s", diff)
		}
		if (before.Hash() == after.Hash()) != (len(events.DiffInventories(before, after)) == 0) {
			rt.Fatal("hash and difference disagree")
		}
	})
}

func TestFilterAndKindPatterns(t *testing.T) {
	records, err := chain(requested, planned, step0)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		filter string
		want   []int
	}{
		"aggregate": {events.FactFilter(host, events.TransactionSubject(txn)), []int{0, 1, 2}},
		"kind":      {events.KindFilter(host, events.KindPlanned), []int{1}},
		"requested": {events.RequestedFilter(host), []int{0}},
		"steps":     {events.KindFilter(host, events.KindStepStarted), []int{2}},
		"other":     {events.FactFilter(host, events.MachineSubject(host)), nil},
	} {
		var got []int
		for i, r := range records {
			if (events.Query{Filters: []string{tc.filter}}).Match(r) {
				got = append(got, i)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, tc := range []struct {
		pattern string
		kind    events.Kind
		want    bool
	}{
		{"install.*", events.KindInstallRequested, true},
		{"install.*", events.KindPlanned, false},
		{"*", events.KindPlanned, true},
		{"*.failed", events.KindStepFailed, true},
		{"*.failed", events.KindFailed, true},
		{"step.*.v1", events.KindStepStarted, true},
		{"transaction.planned", events.KindPlanned, true},
		{"transaction.plan", events.KindPlanned, false},
		{"", events.KindPlanned, false},
	} {
		if got := tc.kind.Match(tc.pattern); got != tc.want {
			t.Errorf("%s matches %q: %v, want %v", tc.kind, tc.pattern, got, tc.want)
		}
	}
}
