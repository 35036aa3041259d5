package events

import (
	"fmt"
	"strings"
)

// Kind is the versioned name of an event: NOUN.FACT.vN. Kinds are written by
// hand, never derived from Go names, and never change their meaning.
type Kind string

// The kinds. Requests and the facts that open a transaction share
// VERB.requested.v1: the fact is the request as it was accepted.
const (
	KindInstallRequested Kind = "install.requested.v1"
	KindRemoveRequested  Kind = "remove.requested.v1"
	KindPurgeRequested   Kind = "purge.requested.v1"
	KindUpgradeRequested Kind = "upgrade.requested.v1"
	KindHoldRequested    Kind = "hold.requested.v1"
	KindUnholdRequested  Kind = "unhold.requested.v1"
	KindUndoRequested    Kind = "undo.requested.v1"
	KindRedoRequested    Kind = "redo.requested.v1"
	KindImportRequested  Kind = "import.requested.v1"

	KindApproveRequested       Kind = "approve.requested.v1"
	KindCancelRequested        Kind = "cancel.requested.v1"
	KindRetryRequested         Kind = "retry.requested.v1"
	KindForgetAnswersRequested Kind = "forget.requested.v1"

	KindLLMRequested   Kind = "llm.requested.v1"
	KindLLMCompleted   Kind = "llm.completed.v1"
	KindLLMFailed      Kind = "llm.failed.v1"
	KindLLMDenied      Kind = "llm.denied.v1"
	KindLLMModeChanged Kind = "llm.mode-changed.v1"

	KindHardwareSnapshotRequested Kind = "hardware.requested.v1"
	KindHardwareSnapshot          Kind = "hardware.snapshot.v1"
	KindHardwareChanged           Kind = "hardware.changed.v1"

	KindLimitsRequested Kind = "limits.requested.v1"
	KindLimitProfileSet Kind = "limits.profile-set.v1"
	KindLimitsApplied   Kind = "limits.applied.v1"
	KindLimitsReverted  Kind = "limits.reverted.v1"
	KindLimitsRefused   Kind = "limits.refused.v1"

	KindLogOpened         Kind = "log.opened.v1"
	KindBaselineRecorded  Kind = "machine.adopted.v1"
	KindDriftDetected     Kind = "machine.drifted.v1"
	KindIndexesRefreshed  Kind = "machine.indexes-refreshed.v1"
	KindGarbageCollected  Kind = "machine.collected.v1"
	KindPlanned           Kind = "transaction.planned.v1"
	KindRefused           Kind = "transaction.refused.v1"
	KindApproved          Kind = "transaction.approved.v1"
	KindDenied            Kind = "transaction.denied.v1"
	KindCancelled         Kind = "transaction.cancelled.v1"
	KindStarted           Kind = "transaction.started.v1"
	KindSnapshotTaken     Kind = "transaction.prepared.v1"
	KindObserved          Kind = "transaction.observed.v1"
	KindStepStarted       Kind = "step.started.v1"
	KindStepSucceeded     Kind = "step.succeeded.v1"
	KindStepFailed        Kind = "step.failed.v1"
	KindSucceeded         Kind = "transaction.succeeded.v1"
	KindFailed            Kind = "transaction.failed.v1"
	KindInterrupted       Kind = "transaction.interrupted.v1"
	KindCompensated       Kind = "transaction.compensated.v1"
	KindDeadLettered      Kind = "event.parked.v1"
	KindDeadLetterRetried Kind = "event.retried.v1"
	KindAnswersForgotten  Kind = "answers.forgotten.v1"
	KindTreeHeadSigned    Kind = "audit.head.v1"

	KindPreferenceStated    Kind = "memory.stated.v1"
	KindMemoryForgotten     Kind = "memory.forgotten.v1"
	KindSuggestionDismissed Kind = "suggestion.dismissed.v1"
)

// RequestedKind is VERB.requested.v1.
func RequestedKind(v Verb) Kind { return Kind(string(v) + ".requested.v1") }

// FactKinds lists the kind of every fact, in no meaningful order.
func FactKinds() []Kind {
	kinds := []Kind{
		KindLogOpened, KindBaselineRecorded, KindDriftDetected, KindIndexesRefreshed, KindGarbageCollected, KindPlanned, KindRefused,
		KindApproved, KindDenied, KindCancelled, KindStarted, KindSnapshotTaken, KindObserved, KindStepStarted, KindStepSucceeded,
		KindStepFailed, KindSucceeded, KindFailed, KindInterrupted, KindCompensated, KindDeadLettered, KindDeadLetterRetried,
		KindAnswersForgotten,
		KindHardwareSnapshot, KindHardwareChanged,
		KindLimitProfileSet, KindLimitsApplied, KindLimitsReverted, KindLimitsRefused,
		KindLLMRequested, KindLLMCompleted, KindLLMFailed, KindLLMDenied, KindLLMModeChanged,
		KindTreeHeadSigned,
		KindPreferenceStated, KindMemoryForgotten, KindSuggestionDismissed,
	}
	for _, v := range Verbs {
		kinds = append(kinds, RequestedKind(v))
	}
	return kinds
}

// RequestKinds lists the kind of every request.
func RequestKinds() []Kind {
	kinds := []Kind{KindApproveRequested, KindCancelRequested, KindRetryRequested, KindForgetAnswersRequested, KindHardwareSnapshotRequested, KindLimitsRequested}
	for _, v := range Verbs {
		kinds = append(kinds, RequestedKind(v))
	}
	return kinds
}

// emptyFact returns an empty fact for a stored kind.
func emptyFact(k Kind) (Fact, error) {
	switch k {
	case KindLogOpened:
		return &LogOpened{}, nil
	case KindBaselineRecorded:
		return &BaselineRecorded{}, nil
	case KindDriftDetected:
		return &DriftDetected{}, nil
	case KindIndexesRefreshed:
		return &IndexesRefreshed{}, nil
	case KindGarbageCollected:
		return &GarbageCollected{}, nil
	case KindPlanned:
		return &Planned{}, nil
	case KindRefused:
		return &Refused{}, nil
	case KindApproved:
		return &Approved{}, nil
	case KindDenied:
		return &Denied{}, nil
	case KindCancelled:
		return &Cancelled{}, nil
	case KindStarted:
		return &Started{}, nil
	case KindSnapshotTaken:
		return &SnapshotTaken{}, nil
	case KindObserved:
		return &Observed{}, nil
	case KindStepStarted:
		return &StepStarted{}, nil
	case KindStepSucceeded:
		return &StepSucceeded{}, nil
	case KindStepFailed:
		return &StepFailed{}, nil
	case KindSucceeded:
		return &Succeeded{}, nil
	case KindFailed:
		return &Failed{}, nil
	case KindInterrupted:
		return &Interrupted{}, nil
	case KindCompensated:
		return &Compensated{}, nil
	case KindDeadLettered:
		return &DeadLettered{}, nil
	case KindDeadLetterRetried:
		return &DeadLetterRetried{}, nil
	case KindAnswersForgotten:
		return &AnswersForgotten{}, nil
	case KindHardwareSnapshot:
		return &HardwareSnapshot{}, nil
	case KindHardwareChanged:
		return &HardwareChanged{}, nil
	case KindLimitProfileSet:
		return &LimitProfileSet{}, nil
	case KindLimitsApplied:
		return &LimitsApplied{}, nil
	case KindLimitsReverted:
		return &LimitsReverted{}, nil
	case KindLimitsRefused:
		return &LimitsRefused{}, nil
	case KindLLMRequested:
		return &LLMRequested{}, nil
	case KindLLMCompleted:
		return &LLMCompleted{}, nil
	case KindLLMFailed:
		return &LLMFailed{}, nil
	case KindLLMDenied:
		return &LLMDenied{}, nil
	case KindLLMModeChanged:
		return &LLMModeChanged{}, nil
	case KindTreeHeadSigned:
		return &TreeHeadSigned{}, nil
	case KindPreferenceStated:
		return &PreferenceStated{}, nil
	case KindMemoryForgotten:
		return &MemoryForgotten{}, nil
	case KindSuggestionDismissed:
		return &SuggestionDismissed{}, nil
	}
	if isTransactionRequest(k) {
		return &Requested{}, nil
	}
	return nil, fmt.Errorf("unknown kind of fact %q", k)
}

// emptyRequest returns an empty request for a published kind.
func emptyRequest(k Kind) (Request, error) {
	switch k {
	case KindApproveRequested:
		return &ApproveRequest{}, nil
	case KindCancelRequested:
		return &CancelRequest{}, nil
	case KindRetryRequested:
		return &RetryRequest{}, nil
	case KindForgetAnswersRequested:
		return &ForgetAnswersRequest{}, nil
	case KindHardwareSnapshotRequested:
		return &HardwareSnapshotRequest{}, nil
	case KindLimitsRequested:
		return &LimitsRequest{}, nil
	}
	if isTransactionRequest(k) {
		return &TransactionRequest{}, nil
	}
	return nil, fmt.Errorf("unknown kind of request %q", k)
}

func isTransactionRequest(k Kind) bool {
	for _, v := range Verbs {
		if k == RequestedKind(v) {
			return true
		}
	}
	return false
}

// Match reports whether the kind matches a pattern as typed by a person: a
// whole kind, or one in which * stands for any run of characters, with or
// without the version ("install.*", "*.failed", "step.*.v1").
func (k Kind) Match(pattern string) bool {
	return matchWildcard(pattern, string(k)) || matchWildcard(pattern, k.withoutVersion())
}

// withoutVersion is the kind without its version.
func (k Kind) withoutVersion() string {
	if i := strings.LastIndex(string(k), ".v"); i > 0 {
		return string(k[:i])
	}
	return string(k)
}

func matchWildcard(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	if !star {
		return s == ""
	}
	for i := 0; i <= len(s); i++ {
		if matchWildcard(rest, s[i:]) {
			return true
		}
	}
	return false
}
