package events

import (
	"strconv"
	"strings"
)

// Kind is the versioned name of an event: NOUN.NAME.vN. Kinds are written by
// hand, not derived from Go names, and never change their meaning.
type Kind string

// The kinds. A request and the fact that opens a transaction share
// VERB.requested.v1: the fact is the request as it was accepted. The registry has
// one line for each; see [Registry].
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

// KindPerVerb stands in the registry for one kind per verb of [Verbs], such as
// install.requested.v1.
const KindPerVerb Kind = "VERB.requested.v1"

// RequestedKind is VERB.requested.v1.
func RequestedKind(v Verb) Kind { return Kind(string(v) + ".requested.v1") }

// Match reports whether the kind matches a pattern that a person typed: a
// whole kind, or one in which * stands for any run of characters, with or
// without the version ("install.*", "*.failed", "step.*.v1").
func (k Kind) Match(pattern string) bool {
	return matchWildcard(pattern, string(k)) || matchWildcard(pattern, k.withoutVersion())
}

// wellFormed reports whether the kind has the form NOUN.NAME.vN.
func (k Kind) wellFormed() bool {
	name := k.withoutVersion()
	version, ok := strings.CutPrefix(string(k)[len(name):], ".v")
	n, err := strconv.ParseUint(version, 10, 31)
	return ok && err == nil && n > 0 && strings.Contains(name, ".")
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
