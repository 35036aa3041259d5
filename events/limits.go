package events

import "time"

// The limits that validation, codecs and handlers enforce. Tests check each of them at
// its edge.
const (
	// MaxEventBytes bounds the JSON data of one event.
	MaxEventBytes = 2 << 20
	// MaxHeaderBytes bounds the encoded headers of one event.
	MaxHeaderBytes = 8 << 10
	// MaxPackagesPerRequest bounds the names in one request.
	MaxPackagesPerRequest = 500
	// MaxPackagesPerManifest bounds the packages that one manifest names.
	MaxPackagesPerManifest = 5_000
	// MaxFilesPerManifest bounds the files of one manifest.
	MaxFilesPerManifest = 500
	// MaxManifestFileBytes bounds the content of all files of one manifest.
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
	// MaxStoredFileBytes bounds the content of one configuration file that is stored.
	MaxStoredFileBytes = 16 << 20
	// MaxStepsPerPlan bounds the steps of one plan.
	MaxStepsPerPlan = 64
	// MaxChangesPerPlan bounds the package changes of one plan.
	MaxChangesPerPlan = 20_000
	// MaxOutputBytes bounds the captured output of one step; the end is stored.
	MaxOutputBytes = 32 << 10
	// MaxTextBytes bounds the free text of a request.
	MaxTextBytes = 4 << 10
	// MaxPreferenceBytes bounds the text of one stated preference.
	MaxPreferenceBytes = 1 << 10
	// MaxPreferences bounds the stated preferences of one user.
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
	// MaxNeeds and MaxCandidates bound the candidates for one request in words.
	MaxNeeds      = 16
	MaxCandidates = 10
	// MaxEvidenceBytes bounds the data about this machine in one question to a model.
	MaxEvidenceBytes = 24 << 10
	// MaxReasonBytes bounds a failure message.
	MaxReasonBytes = 4 << 10
	// MaxHandlerRetries is how often a handler is retried before an event becomes a dead
	// letter.
	MaxHandlerRetries = 4
	// MaxLockWait is the longest time that a transaction waits for another package manager.
	MaxLockWait = time.Hour
	// DefaultLockWait is how long a transaction waits by default.
	DefaultLockWait = 2 * time.Minute
)
