package events

import "time"

// Fact is something that has happened. The set is closed. The registry names the
// packages that append and read each type.
//
//sumtype:decl
type Fact interface {
	// Kind is the versioned name under which the fact is stored.
	Kind() Kind
	fact()
}

// StandaloneFact is a fact that belongs to no transaction and changes no package, such
// as a fact about models, hardware or limits.
type StandaloneFact interface {
	Fact
	standalone()
}

// LogOpened is the first fact of every log. It is appended when the store is created.
type LogOpened struct {
	Host    HostID `json:"host"`
	Machine string `json:"machine,omitempty"` // host name at that time, for people
	Build   string `json:"build,omitempty"`
}

// BaselineRecorded records every package of the machine at the first start of Cortex.
// The inventory is folded from here on.
type BaselineRecorded struct {
	Packages []Package `json:"packages"`
}

// DriftDetected records package changes that belong to no recorded transaction. Cortex
// compares the machine with the inventory at its start and before each transaction.
type DriftDetected struct {
	Changes []PackageChange `json:"changes"`
}

// IndexesRefreshed records that apt's package lists were fetched.
type IndexesRefreshed struct {
	Reason     string `json:"reason"`
	DurationMs int64  `json:"duration_ms"`
}

// GarbageCollected records that contents were removed from the blob store.
type GarbageCollected struct {
	ContentsRemoved int   `json:"contents"`
	BytesFreed      int64 `json:"bytes"`
	// NoLongerUndoable are the transactions that can no longer be undone exactly.
	NoLongerUndoable []TransactionID `json:"forgotten,omitempty"`
}

// Requested opens a transaction: the request was authentic and well formed. Its kind
// is VERB.requested.v1.
type Requested struct {
	// Number is the transaction's number for people: 1, 2, 3, … in the order of the
	// log. It never changes.
	Number int `json:"number"`
	Intent
}

// Planned holds the exact plan. A dry run ends here; 'cortex apply' continues it.
type Planned struct {
	PlanID        PlanID `json:"plan_id"`
	Plan          Plan   `json:"plan"`
	InventoryHash string `json:"base"` // hash of the inventory the plan was made on
	// PolicyVersion is the version of the rules that evaluated the plan. Denial is set
	// when they forbid it; the fact Denied follows.
	PolicyVersion string  `json:"policy,omitempty"`
	Denial        *Denial `json:"denial,omitempty"`
}

// Refused ends a transaction that cannot be planned, or whose plan no longer fits the
// machine. Nothing ran.
type Refused struct {
	Failure
}

// Approved records that a user with the right to change the machine approved exactly
// this plan.
type Approved struct {
	PlanID PlanID `json:"plan_id"`
	How    string `json:"how"` // prompt, yes-flag, apply, policy
}

// Denied records that policy forbids the plan. Nothing ran.
type Denied struct {
	Rule          string `json:"rule"`
	Message       string `json:"message"`
	PolicyVersion string `json:"policy,omitempty"` // the version of the rules
}

// Cancelled records that the user declined the plan. Nothing ran.
type Cancelled struct {
	Reason string `json:"reason,omitempty"`
}

// Started is the intent to act, durable before the first effect. It is appended with
// an expected position: the append is the lock, so that a redelivered approval cannot
// run twice.
type Started struct {
	PlanID        PlanID `json:"plan_id"`
	InventoryHash string `json:"base"` // hash of the inventory right before
}

// StepStarted is the intent to run one step.
type StepStarted struct {
	Index int      `json:"index"` // from 0
	Op    Op       `json:"op"`
	Argv  []string `json:"argv"` // the program with its arguments; holds no secrets
}

// StepSucceeded ends a step that exited 0.
type StepSucceeded struct {
	Index      int    `json:"index"`
	Output     string `json:"output,omitempty"` // the last MaxOutputBytes
	DurationMs int64  `json:"duration_ms"`
}

// StepFailed ends a step that failed.
type StepFailed struct {
	Index      int     `json:"index"`
	Output     string  `json:"output,omitempty"`
	ExitCode   int     `json:"exit_code"` // -1 when killed by a signal or never started
	Failure    Failure `json:"failure"`
	DurationMs int64   `json:"duration_ms"`
}

// SnapshotTaken records that everything an undo of the step needs is stored: the
// snapshot of configuration files and settings from right before the step, and the
// package files that the step installs and removes. It is appended while dpkg's lock
// is held, and dpkg starts only when it is durable.
type SnapshotTaken struct {
	Index     int      `json:"index"` // of the step, from 0
	Snapshot  Digest   `json:"image"` // in the blob store
	Debs      []Deb    `json:"debs,omitempty"`
	NotStored []string `json:"lost,omitempty"` // package files that are replaced and could not be stored, for people
}

// Succeeded ends a transaction whose steps all succeeded. Changes, Files and
// Settings are the differences that dpkg and the file system show, not the plan.
type Succeeded struct {
	Changes  []PackageChange `json:"changes"`
	Files    []FileChange    `json:"files,omitempty"`
	Settings []SettingChange `json:"settings,omitempty"`
}

// Failed ends a transaction one of whose steps failed. Changes, Files and Settings are
// the differences that remain.
type Failed struct {
	Changes  []PackageChange `json:"changes"`
	Failure  Failure         `json:"failure"`
	Files    []FileChange    `json:"files,omitempty"`
	Settings []SettingChange `json:"settings,omitempty"`
}

// Interrupted ends a transaction whose execution stopped, for example in a power
// failure. Its changes are the difference that dpkg shows afterwards. Recovered lists
// the commands that brought dpkg back to a consistent state.
type Interrupted struct {
	Changes   []PackageChange `json:"changes"`
	Reason    string          `json:"reason"`
	Recovered []string        `json:"recovered,omitempty"`
	Files     []FileChange    `json:"files,omitempty"`
	Settings  []SettingChange `json:"settings,omitempty"`
}

// Observed is a whole transaction that was made outside Cortex, with apt, dpkg or
// another front end, and seen by the hooks. It opens and ends the transaction.
type Observed struct {
	Number   int             `json:"number"` // see [Requested]
	Program  string          `json:"program"`
	Command  string          `json:"command,omitempty"` // as typed, with secrets masked
	UID      int             `json:"uid"`
	Started  time.Time       `json:"started,omitzero"`
	Snapshot Digest          `json:"image,omitempty"` // from right before; "" when none was taken
	Debs     []Deb           `json:"debs,omitempty"`
	Changes  []PackageChange `json:"changes"`
	Files    []FileChange    `json:"files,omitempty"`
	Settings []SettingChange `json:"settings,omitempty"`
}

// Compensated records that transaction By undid this one. Exact is true only when
// every package, file and setting that this one changed was verified to be as before.
type Compensated struct {
	By      TransactionID `json:"by"`
	Exact   bool          `json:"exact"`
	Residue []string      `json:"residue,omitempty"` // what was not restored
}

// DeadLettered records that a handler failed on a message after all its retries.
type DeadLettered struct {
	Handler        string   `json:"handler"`
	Stream         string   `json:"stream"`
	StreamPosition Position `json:"position"` // in that stream
	EventID        ID       `json:"event"`
	EventKind      Kind     `json:"kind"`
	Failure        Failure  `json:"failure"`
	Attempts       int      `json:"attempts"`
}

// DeadLetterRetried records that the handler of a dead letter was called again and
// succeeded.
type DeadLetterRetried struct {
	DeadLetter ID `json:"parked"` // the id of the DeadLettered fact
}

// Kind implements [Fact]; it depends on the verb.
func (f *Requested) Kind() Kind { return RequestedKind(f.Verb) }

// The kinds of the other facts are fixed.
func (*LogOpened) Kind() Kind         { return KindLogOpened }
func (*BaselineRecorded) Kind() Kind  { return KindBaselineRecorded }
func (*DriftDetected) Kind() Kind     { return KindDriftDetected }
func (*IndexesRefreshed) Kind() Kind  { return KindIndexesRefreshed }
func (*GarbageCollected) Kind() Kind  { return KindGarbageCollected }
func (*Planned) Kind() Kind           { return KindPlanned }
func (*Refused) Kind() Kind           { return KindRefused }
func (*Approved) Kind() Kind          { return KindApproved }
func (*Denied) Kind() Kind            { return KindDenied }
func (*Cancelled) Kind() Kind         { return KindCancelled }
func (*Started) Kind() Kind           { return KindStarted }
func (*SnapshotTaken) Kind() Kind     { return KindSnapshotTaken }
func (*Observed) Kind() Kind          { return KindObserved }
func (*StepStarted) Kind() Kind       { return KindStepStarted }
func (*StepSucceeded) Kind() Kind     { return KindStepSucceeded }
func (*StepFailed) Kind() Kind        { return KindStepFailed }
func (*Succeeded) Kind() Kind         { return KindSucceeded }
func (*Failed) Kind() Kind            { return KindFailed }
func (*Interrupted) Kind() Kind       { return KindInterrupted }
func (*Compensated) Kind() Kind       { return KindCompensated }
func (*DeadLettered) Kind() Kind      { return KindDeadLettered }
func (*DeadLetterRetried) Kind() Kind { return KindDeadLetterRetried }

func (*LogOpened) fact()         {}
func (*BaselineRecorded) fact()  {}
func (*DriftDetected) fact()     {}
func (*IndexesRefreshed) fact()  {}
func (*Requested) fact()         {}
func (*GarbageCollected) fact()  {}
func (*Planned) fact()           {}
func (*Refused) fact()           {}
func (*Approved) fact()          {}
func (*Denied) fact()            {}
func (*Cancelled) fact()         {}
func (*Started) fact()           {}
func (*SnapshotTaken) fact()     {}
func (*Observed) fact()          {}
func (*StepStarted) fact()       {}
func (*StepSucceeded) fact()     {}
func (*StepFailed) fact()        {}
func (*Succeeded) fact()         {}
func (*Failed) fact()            {}
func (*Interrupted) fact()       {}
func (*Compensated) fact()       {}
func (*DeadLettered) fact()      {}
func (*DeadLetterRetried) fact() {}

// Request asks for something and may be refused. Any local user may send one; only the
// daemon turns it into facts.
//
//sumtype:decl
type Request interface {
	// Kind is the versioned name under which the request is published.
	Kind() Kind
	// MayChangeMachine reports whether granting it may change the machine.
	MayChangeMachine() bool
	// Validate checks the request's form.
	Validate() error
	request()
}

// TransactionRequest asks for a plan. Its event's Transaction is the id of the new
// transaction, so that sending it twice opens one transaction. Its kind is the same
// VERB.requested.v1 as the fact's.
type TransactionRequest struct {
	Intent
}

// ApproveRequest approves one plan.
type ApproveRequest struct {
	PlanID PlanID `json:"plan_id"`
	How    string `json:"how"`
}

// CancelRequest declines a plan.
type CancelRequest struct {
	Reason string `json:"reason,omitempty"`
}

// RetryRequest asks to call the handler of a dead letter again.
type RetryRequest struct {
	DeadLetter ID `json:"parked"`
}

// Kind implements [Request].
func (r *TransactionRequest) Kind() Kind { return RequestedKind(r.Verb) }

// The kinds of the other requests are fixed.
func (*ApproveRequest) Kind() Kind { return KindApproveRequested }
func (*CancelRequest) Kind() Kind  { return KindCancelRequested }
func (*RetryRequest) Kind() Kind   { return KindRetryRequested }

// MayChangeMachine implements [Request]: a plan changes nothing, an approval does.
func (*TransactionRequest) MayChangeMachine() bool { return false }
func (*ApproveRequest) MayChangeMachine() bool     { return true }
func (*CancelRequest) MayChangeMachine() bool      { return false }
func (*RetryRequest) MayChangeMachine() bool       { return true }

// Validate implements [Request].
func (r *TransactionRequest) Validate() error { return r.Intent.Validate() }
func (r *ApproveRequest) Validate() error     { return r.PlanID.Validate() }
func (r *CancelRequest) Validate() error      { return nil }
func (r *RetryRequest) Validate() error       { return r.DeadLetter.Validate() }

func (*TransactionRequest) request() {}
func (*ApproveRequest) request()     {}
func (*CancelRequest) request()      {}
func (*RetryRequest) request()       {}

// Progress is the progress of a running transaction. It is not a fact: it is sent over
// core NATS, is not stored, and may be lost.
type Progress struct {
	Transaction TransactionID `json:"transaction"`
	Stage       Stage         `json:"stage"`
	Step        int           `json:"step"`              // from 0
	Steps       int           `json:"steps"`             // of the plan
	Package     string        `json:"package,omitempty"` // being worked on
	Percent     float64       `json:"percent"`           // 0–100 of this step; -1 unknown
	Message     string        `json:"message,omitempty"`
	Time        time.Time     `json:"time"`
}

// Stage is the kind of work that is going on.
type Stage string

// The stages of a transaction's work.
const (
	StageWaiting  Stage = "waiting"  // for another package manager's lock
	StageRefresh  Stage = "refresh"  // fetching package lists
	StageDownload Stage = "download" // fetching packages
	StageApply    Stage = "apply"    // dpkg runs
	StageVerify   Stage = "verify"   // reading the result
)
