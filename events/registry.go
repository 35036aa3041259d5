package events

import (
	"fmt"
	"slices"
	"sync"
)

// Entry is the registry's line for one kind. Decoding, the lists of kinds,
// docs/events.md, the samples and the golden files follow from it.
type Entry struct {
	Kind Kind
	// Exactly one of Fact, Request and Upcast is set. Fact and Request return an
	// empty value to decode into; Upcast turns an old version into the next one.
	Fact    func() Fact
	Request func() Request
	Upcast  *Upcaster

	Noun      string   // the noun of the event's [Subject]: txn, machine, log or event
	Appenders []string // the packages that append or publish it
	Readers   []string // the packages that read it by its type; "events" is the fold [Transaction]
	Undo      UndoNeed
}

// UndoNeed is whether an undo needs a kind of event.
type UndoNeed string

// The needs of an undo.
const (
	// UndoNeeded: an undo reads this version.
	UndoNeeded UndoNeed = "needed"
	// UndoIgnores: an undo does not read this version. A later version may differ.
	UndoIgnores UndoNeed = "ignored"
	// UndoNever: no version of the kind describes a change to packages, files or
	// settings.
	UndoNever UndoNeed = "never"
)

// The nouns of subjects.
const (
	nounTransaction = "txn"
	nounMachine     = "machine"
	nounLog         = "log"
	nounDeadLetter  = "event"
)

// entries is the registry: one line for each kind. To add a kind, see CONTRIBUTING.
var entries = []Entry{
	// Requests: they ask.
	{Kind: KindPerVerb, Request: func() Request { return &TransactionRequest{} }, Noun: nounTransaction, Appenders: []string{"producers/intent"}, Readers: []string{"consumers/commands"}},
	{Kind: KindApproveRequested, Request: func() Request { return &ApproveRequest{} }, Noun: nounTransaction, Appenders: []string{"producers/intent"}, Readers: []string{"consumers/commands"}},
	{Kind: KindCancelRequested, Request: func() Request { return &CancelRequest{} }, Noun: nounTransaction, Appenders: []string{"producers/intent"}, Readers: []string{"consumers/commands"}},
	{Kind: KindRetryRequested, Request: func() Request { return &RetryRequest{} }, Noun: nounDeadLetter, Appenders: []string{"producers/intent"}, Readers: []string{"consumers/commands"}},
	{Kind: KindForgetAnswersRequested, Request: func() Request { return &ForgetAnswersRequest{} }, Noun: nounMachine, Appenders: []string{"producers/intent"}, Readers: []string{"consumers/commands"}},
	{Kind: KindHardwareSnapshotRequested, Request: func() Request { return &HardwareSnapshotRequest{} }, Noun: nounMachine, Appenders: []string{"producers/intent"}, Readers: []string{"consumers/commands"}},
	{Kind: KindLimitsRequested, Request: func() Request { return &LimitsRequest{} }, Noun: nounMachine, Appenders: []string{"producers/intent"}, Readers: []string{"consumers/commands"}},

	// Facts of a transaction.
	{Kind: KindPerVerb, Fact: func() Fact { return &Requested{} }, Noun: nounTransaction, Appenders: []string{"consumers/commands"}, Readers: []string{"cmd/output", "consumers/hwsnapshot", "consumers/recorder", "events", "projections/history", "projections/memory", "projections/packages"}, Undo: UndoNeeded},
	{Kind: KindPlanned, Fact: func() Fact { return &Planned{} }, Noun: nounTransaction, Appenders: []string{"consumers/planner"}, Readers: []string{"cmd/output", "events", "projections/history"}, Undo: UndoNeeded},
	{Kind: KindRefused, Fact: func() Fact { return &Refused{} }, Noun: nounTransaction, Appenders: []string{"consumers/executor", "consumers/planner"}, Readers: []string{"cmd/output", "events", "projections/history", "projections/memory"}, Undo: UndoIgnores},
	{Kind: KindApproved, Fact: func() Fact { return &Approved{} }, Noun: nounTransaction, Appenders: []string{"consumers/commands"}, Readers: []string{"cmd/output", "consumers", "events", "projections/history"}, Undo: UndoIgnores},
	{Kind: KindDenied, Fact: func() Fact { return &Denied{} }, Noun: nounTransaction, Appenders: []string{"consumers/executor", "consumers/planner"}, Readers: []string{"cmd/output", "events", "projections/history"}, Undo: UndoIgnores},
	{Kind: KindCancelled, Fact: func() Fact { return &Cancelled{} }, Noun: nounTransaction, Appenders: []string{"consumers/commands"}, Readers: []string{"cmd/output", "events", "projections/history"}, Undo: UndoIgnores},
	{Kind: KindStarted, Fact: func() Fact { return &Started{} }, Noun: nounTransaction, Appenders: []string{"consumers/executor"}, Readers: []string{"consumers/recovery", "events", "projections/history"}, Undo: UndoNeeded},
	{Kind: KindSnapshotTaken, Fact: func() Fact { return &SnapshotTaken{} }, Noun: nounTransaction, Appenders: []string{"consumers/executor"}, Readers: []string{"cmd/output", "events", "projections/history"}, Undo: UndoNeeded},
	{Kind: KindStepStarted, Fact: func() Fact { return &StepStarted{} }, Noun: nounTransaction, Appenders: []string{"consumers/executor"}, Readers: []string{"cmd/output", "events", "projections/history"}, Undo: UndoIgnores},
	{Kind: KindStepSucceeded, Fact: func() Fact { return &StepSucceeded{} }, Noun: nounTransaction, Appenders: []string{"consumers/executor"}, Readers: []string{"events", "projections/history"}, Undo: UndoIgnores},
	{Kind: KindStepFailed, Fact: func() Fact { return &StepFailed{} }, Noun: nounTransaction, Appenders: []string{"consumers/executor"}, Readers: []string{"cmd/output", "events", "projections/history"}, Undo: UndoIgnores},
	{Kind: KindSucceeded, Fact: func() Fact { return &Succeeded{} }, Noun: nounTransaction, Appenders: []string{"consumers/executor"}, Readers: []string{"cmd/output", "consumers", "events", "projections/history", "projections/memory", "projections/packages"}, Undo: UndoNeeded},
	{Kind: KindFailed, Fact: func() Fact { return &Failed{} }, Noun: nounTransaction, Appenders: []string{"consumers/executor"}, Readers: []string{"cmd/output", "events", "projections/history", "projections/memory", "projections/packages"}, Undo: UndoNeeded},
	{Kind: KindInterrupted, Fact: func() Fact { return &Interrupted{} }, Noun: nounTransaction, Appenders: []string{"consumers/recovery"}, Readers: []string{"cmd/output", "consumers", "events", "projections/history", "projections/packages"}, Undo: UndoNeeded},
	{Kind: KindObserved, Fact: func() Fact { return &Observed{} }, Noun: nounTransaction, Appenders: []string{"consumers/external"}, Readers: []string{"cmd/output", "consumers/recorder", "consumers/undo", "events", "projections/history", "projections/packages"}, Undo: UndoNeeded},
	{Kind: KindCompensated, Fact: func() Fact { return &Compensated{} }, Noun: nounTransaction, Appenders: []string{"consumers/undo"}, Readers: []string{"cmd/output", "events", "projections/history", "projections/memory"}, Undo: UndoNeeded},

	// Facts of the machine and its packages.
	{Kind: KindBaselineRecorded, Fact: func() Fact { return &BaselineRecorded{} }, Noun: nounMachine, Appenders: []string{"consumers/recovery"}, Readers: []string{"cmd/output", "consumers/inventory", "events", "projections/packages"}, Undo: UndoNeeded},
	{Kind: KindDriftDetected, Fact: func() Fact { return &DriftDetected{} }, Noun: nounMachine, Appenders: []string{"consumers/external", "consumers/recovery"}, Readers: []string{"cmd/output", "events", "projections/packages"}, Undo: UndoNeeded},
	{Kind: KindIndexesRefreshed, Fact: func() Fact { return &IndexesRefreshed{} }, Noun: nounMachine, Appenders: []string{"consumers/planner"}, Readers: []string{"cmd/output"}, Undo: UndoNever},
	{Kind: KindGarbageCollected, Fact: func() Fact { return &GarbageCollected{} }, Noun: nounMachine, Appenders: []string{"consumers/retention"}, Readers: []string{"cmd/output"}, Undo: UndoIgnores},

	// Facts of hardware, limits, models and memories: they belong to no transaction.
	{Kind: KindHardwareSnapshot, Fact: func() Fact { return &HardwareSnapshot{} }, Noun: nounMachine, Appenders: []string{"consumers/hwsnapshot"}, Readers: []string{"cmd/output", "consumers/hwsnapshot", "projections/hardware"}, Undo: UndoNever},
	{Kind: KindHardwareChanged, Fact: func() Fact { return &HardwareChanged{} }, Noun: nounMachine, Appenders: []string{"consumers/hwsnapshot"}, Readers: []string{"cmd/output", "consumers/hwsnapshot", "projections/hardware"}, Undo: UndoNever},
	{Kind: KindLimitProfileSet, Fact: func() Fact { return &LimitProfileSet{} }, Noun: nounMachine, Appenders: []string{"consumers/limiter"}, Readers: []string{"cmd/output", "projections/limits"}, Undo: UndoNever},
	{Kind: KindLimitsApplied, Fact: func() Fact { return &LimitsApplied{} }, Noun: nounMachine, Appenders: []string{"consumers/limiter"}, Readers: []string{"cmd/output", "projections/limits"}, Undo: UndoNever},
	{Kind: KindLimitsReverted, Fact: func() Fact { return &LimitsReverted{} }, Noun: nounMachine, Appenders: []string{"consumers/limiter"}, Readers: []string{"cmd/output", "projections/limits"}, Undo: UndoNever},
	{Kind: KindLimitsRefused, Fact: func() Fact { return &LimitsRefused{} }, Noun: nounMachine, Appenders: []string{"consumers/limiter"}, Readers: []string{"cmd/output"}, Undo: UndoNever},
	{Kind: KindLLMRequested, Fact: func() Fact { return &LLMRequested{} }, Noun: nounMachine, Appenders: []string{"consumers/llm/ask"}, Readers: []string{"cmd/output", "consumers/llm/ask"}, Undo: UndoNever},
	{Kind: KindLLMCompleted, Fact: func() Fact { return &LLMCompleted{} }, Noun: nounMachine, Appenders: []string{"consumers/llm/ask"}, Readers: []string{"cmd/cli/llmcmd", "cmd/output", "consumers/llm/ask", "projections/answers", "projections/usage"}, Undo: UndoNever},
	{Kind: KindLLMFailed, Fact: func() Fact { return &LLMFailed{} }, Noun: nounMachine, Appenders: []string{"consumers/llm/ask"}, Readers: []string{"cmd/output", "consumers/llm/ask", "projections/usage"}, Undo: UndoNever},
	{Kind: KindLLMDenied, Fact: func() Fact { return &LLMDenied{} }, Noun: nounMachine, Appenders: []string{"consumers/llm/ask"}, Readers: []string{"cmd/output", "consumers/llm/ask", "projections/usage"}, Undo: UndoNever},
	{Kind: KindLLMModeChanged, Fact: func() Fact { return &LLMModeChanged{} }, Noun: nounMachine, Appenders: []string{"consumers/llm/ask"}, Readers: []string{"cmd/output", "consumers/llm/ask"}, Undo: UndoNever},
	{Kind: KindAnswersForgotten, Fact: func() Fact { return &AnswersForgotten{} }, Noun: nounMachine, Appenders: []string{"consumers/commands"}, Readers: []string{"cmd/output", "projections/answers"}, Undo: UndoNever},
	{Kind: KindPreferenceStated, Fact: func() Fact { return &PreferenceStated{} }, Noun: nounMachine, Appenders: []string{"cmd/daemon"}, Readers: []string{"cmd/daemon", "cmd/output", "projections/memory"}, Undo: UndoNever},
	{Kind: KindMemoryForgotten, Fact: func() Fact { return &MemoryForgotten{} }, Noun: nounMachine, Appenders: []string{"cmd/daemon"}, Readers: []string{"cmd/output", "projections/memory"}, Undo: UndoNever},
	{Kind: KindSuggestionDismissed, Fact: func() Fact { return &SuggestionDismissed{} }, Noun: nounMachine, Appenders: []string{"cmd/daemon"}, Readers: []string{"cmd/output", "projections/memory"}, Undo: UndoNever},

	// Facts of the log itself.
	{Kind: KindLogOpened, Fact: func() Fact { return &LogOpened{} }, Noun: nounLog, Appenders: []string{"embedded/natslog"}, Readers: []string{"cmd/output"}, Undo: UndoNever},
	{Kind: KindTreeHeadSigned, Fact: func() Fact { return &TreeHeadSigned{} }, Noun: nounLog, Appenders: []string{"consumers/treehead"}, Readers: []string{"cmd/output", "consumers/treehead"}, Undo: UndoNever},
	{Kind: KindDeadLettered, Fact: func() Fact { return &DeadLettered{} }, Noun: nounDeadLetter, Appenders: []string{"consumers"}, Readers: []string{"cmd/api", "cmd/app", "cmd/cli/systemcmd", "cmd/output", "consumers/commands", "projections/history"}, Undo: UndoNever},
	{Kind: KindDeadLetterRetried, Fact: func() Fact { return &DeadLetterRetried{} }, Noun: nounDeadLetter, Appenders: []string{"consumers/commands"}, Readers: []string{"projections/history"}, Undo: UndoNever},
}

// Registry returns every line of the registry. The caller must not change them.
func Registry() []Entry { return slices.Clone(entries) }

// FactKinds lists the kind of every fact, in no particular order.
func FactKinds() []Kind { return kindsOf(standardRegistry().facts) }

// RequestKinds lists the kind of every request, in no particular order.
func RequestKinds() []Kind { return kindsOf(standardRegistry().requests) }

// UndoMayNeed reports whether an undo may need an event of the kind. The answer for
// a kind or version that is not in the registry is true, unless the registry has
// [UndoNever] for another version of the kind.
func UndoMayNeed(k Kind) bool {
	r := standardRegistry()
	if e, ok := r.facts[k]; ok {
		return e.Undo == UndoNeeded
	}
	return !r.neverNeeded[k.withoutVersion()]
}

// registry is the table by kind.
type registry struct {
	facts, requests map[Kind]Entry
	neverNeeded     map[string]bool  // by kind without version
	latest          map[string]Entry // the facts, by kind without version
}

// standardRegistry is built at its first use, which keeps it out of the start of the program.
var standardRegistry = sync.OnceValue(func() registry {
	r, err := newRegistry(entries)
	if err != nil {
		panic("events: " + err.Error()) // the table is part of the program
	}
	return r
})

// newRegistry indexes a table and checks that its lines are complete.
func newRegistry(table []Entry) (registry, error) {
	r := registry{facts: map[Kind]Entry{}, requests: map[Kind]Entry{}, neverNeeded: map[string]bool{}, latest: map[string]Entry{}}
	for _, line := range table {
		for _, e := range line.perVerb() {
			if err := r.add(e); err != nil {
				return registry{}, err
			}
		}
	}
	for k, e := range r.facts {
		if e.Upcast == nil {
			continue
		}
		if _, ok := r.facts[e.Upcast.To]; !ok || e.Upcast.To == k {
			return registry{}, fmt.Errorf("%s: is upcast to %q, which is not another fact", k, e.Upcast.To)
		}
	}
	return r, nil
}

// perVerb is the line once for each verb when it stands for all of them.
func (e Entry) perVerb() []Entry {
	if e.Kind != KindPerVerb {
		return []Entry{e}
	}
	lines := make([]Entry, len(Verbs))
	for i, v := range Verbs {
		lines[i] = e
		lines[i].Kind = RequestedKind(v)
	}
	return lines
}

func (r registry) add(e Entry) error {
	byKind := r.facts
	if e.Request != nil {
		byKind = r.requests
	}
	forms := 0
	for _, set := range []bool{e.Fact != nil, e.Request != nil, e.Upcast != nil} {
		if set {
			forms++
		}
	}
	switch _, twice := byKind[e.Kind]; {
	case !e.Kind.wellFormed():
		return fmt.Errorf("%q is not NOUN.NAME.vN", e.Kind)
	case twice:
		return fmt.Errorf("%s has two lines", e.Kind)
	case forms != 1:
		return fmt.Errorf("%s needs exactly one of Fact, Request and Upcast", e.Kind)
	case e.Noun == "" || len(e.Appenders) == 0 || len(e.Readers) == 0:
		return fmt.Errorf("%s has no noun, appender or reader", e.Kind)
	case (e.Undo == "") != (e.Request != nil):
		return fmt.Errorf("%s: Undo is set for facts, and only for facts", e.Kind)
	}
	byKind[e.Kind] = e
	if e.Request != nil {
		return nil
	}
	if e.Undo == UndoNever {
		r.neverNeeded[e.Kind.withoutVersion()] = true
	}
	if e.Fact != nil {
		r.latest[e.Kind.withoutVersion()] = e
	}
	return nil
}

func kindsOf(entries map[Kind]Entry) []Kind {
	kinds := make([]Kind, 0, len(entries))
	for k := range entries {
		kinds = append(kinds, k)
	}
	return kinds
}
