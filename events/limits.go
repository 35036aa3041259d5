package events

import "time"

// Everything has a limit. These are the edges that validation, codecs and
// reactors enforce; each is tested at the edge.
const (
	// MaxEventBytes bounds the JSON data of one event.
	MaxEventBytes = 2 << 20
	// MaxHeaderBytes bounds the encoded headers of one event.
	MaxHeaderBytes = 8 << 10
	// MaxPackagesPerRequest bounds the names in one request.
	MaxPackagesPerRequest = 500
	// MaxPackagesPerManifest bounds the packages that one manifest names.
	MaxPackagesPerManifest = 5_000
	// MaxFilesPerManifest bounds the files that one manifest brings.
	MaxFilesPerManifest = 500
	// MaxManifestFileBytes bounds the content of all of them.
	MaxManifestFileBytes = 1 << 20
	// MaxPackageNameBytes bounds a package name.
	MaxPackageNameBytes = 128
	// MaxVersionBytes bounds a package version.
	MaxVersionBytes = 256
	// MaxPathBytes bounds a path.
	MaxPathBytes = 4 << 10
	// MaxFilesPerEvent bounds the paths that one fact or plan lists.
	MaxFilesPerEvent = 4_000
	// MaxSettingsPerEvent bounds the settings that one fact or plan lists.
	MaxSettingsPerEvent = 4_000
	// MaxStoredFileBytes bounds the content of one configuration file that is kept.
	MaxStoredFileBytes = 16 << 20
	// MaxStepsPerPlan bounds the steps of one plan.
	MaxStepsPerPlan = 64
	// MaxChangesPerPlan bounds the package changes of one plan.
	MaxChangesPerPlan = 20_000
	// MaxOutputBytes bounds the captured output of one step; the tail is kept.
	MaxOutputBytes = 32 << 10
	// MaxTextBytes bounds the free text of a request.
	MaxTextBytes = 4 << 10
	// MaxPreferenceBytes bounds what one stated preference says.
	MaxPreferenceBytes = 1 << 10
	// MaxPreferences bounds the preferences that one person keeps stated.
	MaxPreferences = 200
	// MaxMemoriesForgotten bounds the memories that one fact names.
	MaxMemoriesForgotten = 500
	// MaxAnswersForgotten bounds the answers that one request names.
	MaxAnswersForgotten = 500
	// MaxHardwareFacts bounds the facts of one hardware snapshot.
	MaxHardwareFacts = 8_000
	// MaxHardwareKeyBytes bounds the key of one hardware fact.
	MaxHardwareKeyBytes = 256
	// MaxHardwareValueBytes bounds the value of one hardware fact.
	MaxHardwareValueBytes = 8 << 10
	// MaxLLMAnswerBytes bounds the answer of a model that is recorded.
	MaxLLMAnswerBytes = 32 << 10
	// MaxNeeds and MaxCandidates bound what words may mean.
	MaxNeeds      = 16
	MaxCandidates = 10
	// MaxEvidenceBytes bounds what a model is told of this machine.
	MaxEvidenceBytes = 24 << 10
	// MaxReasonBytes bounds a failure message.
	MaxReasonBytes = 4 << 10
	// MaxHandlerRetries is how often a reactor retries before an event is parked.
	MaxHandlerRetries = 4
	// MaxLockWait is the longest a transaction waits for another package manager.
	MaxLockWait = time.Hour
	// DefaultLockWait is how long it waits when nobody said.
	DefaultLockWait = 2 * time.Minute
)
