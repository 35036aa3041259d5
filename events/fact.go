package events

import "time"

// Fact is something that has happened. The set is closed; each type tells in
// its comment who appends it and what follows from it.
//
//sumtype:decl
type Fact interface {
	// Kind is the versioned name under which the fact is stored.
	Kind() Kind
	fact()
}

// StandaloneFact is a fact that belongs to no transaction and changes no package: it tells of
// models, hardware, caches and the like.
type StandaloneFact interface {
	Fact
	standalone()
}

// LogOpened is the first fact of every log, appended when the store is created.
type LogOpened struct {
	Host    HostID `json:"host"`
	Machine string `json:"machine,omitempty"` // host name at that time, for people
	Build   string `json:"build,omitempty"`
}

// BaselineRecorded records every package of the machine as first seen. Appended by the
// reconciler on the first start; the base of the inventory.
type BaselineRecorded struct {
	Packages []Package `json:"packages"`
}

// DriftDetected records what changed on the machine outside any transaction of ours.
// Appended by the reconciler, and by the executor right before it starts.
type DriftDetected struct {
	Changes []PackageChange `json:"changes"`
}

// IndexesRefreshed records that apt's package lists were fetched. Appended by
// the planner.
type IndexesRefreshed struct {
	Reason     string `json:"reason"`
	DurationMs int64  `json:"duration_ms"`
}

// GarbageCollected records that contents were dropped from the vault. Appended by the
// custodian.
type GarbageCollected struct {
	ContentsRemoved int   `json:"contents"`
	BytesFreed      int64 `json:"bytes"`
	// NoLongerUndoable are the transactions that cannot be undone exactly any more.
	NoLongerUndoable []TransactionID `json:"forgotten,omitempty"`
}

// Requested opens a transaction: the request was authentic and well formed.
// Appended by the intake. Its kind is VERB.requested.v1.
type Requested struct {
	// Number is what people call the transaction: 1, 2, 3, … in the order of the
	// log. It never changes.
	Number int `json:"number"`
	Intent
}

// Planned holds the exact plan. Appended by the planner. A transaction whose
// request was a dry run ends here until it is applied.
type Planned struct {
	PlanID        PlanID `json:"plan_id"`
	Plan          Plan   `json:"plan"`
	InventoryHash string `json:"base"` // hash of the inventory the plan was made on
	// PolicyVersion is the version of the rules that judged the plan, and Denial what they
	// said against it; Denied follows.
	PolicyVersion string  `json:"policy,omitempty"`
	Denial        *Denial `json:"denial,omitempty"`
}

// Refused ends a transaction that cannot be planned, or whose plan no longer
// fits the machine. Nothing ran. Appended by planner and executor.
type Refused struct {
	Failure
}

// Approved says that somebody with the right to change the machine said yes to
// exactly this plan. Appended by the intake.
type Approved struct {
	PlanID PlanID `json:"plan_id"`
	How    string `json:"how"` // prompt, yes-flag, apply, policy
}

// Denied says that policy forbids the plan. Nothing ran.
type Denied struct {
	Rule          string `json:"rule"`
	Message       string `json:"message"`
	PolicyVersion string `json:"policy,omitempty"` // the version of the rules
}

// Cancelled says that the person declined the plan. Nothing ran. Appended by
// the intake.
type Cancelled struct {
	Reason string `json:"reason,omitempty"`
}

// Started is the intent to act, durable before the first effect. Appended by
// the executor with an expected position: the append is the lock, so a
// redelivered approval cannot run twice.
type Started struct {
	PlanID        PlanID `json:"plan_id"`
	InventoryHash string `json:"base"` // hash of the inventory right before
}

// StepStarted is the intent to run one step.
type StepStarted struct {
	Index int      `json:"index"` // from 0
	Op    Op       `json:"op"`
	Argv  []string `json:"argv"` // what runs; holds no secrets
}

// StepSucceeded ends a step that exited 0.
type StepSucceeded struct {
	Index      int    `json:"index"`
	Output     string `json:"output,omitempty"` // the last MaxOutputBytes
	DurationMs int64  `json:"duration_ms"`
}

// StepFailed ends a step that did not.
type StepFailed struct {
	Index      int     `json:"index"`
	Output     string  `json:"output,omitempty"`
	ExitCode   int     `json:"exit_code"` // -1 when killed by a signal or never started
	Failure    Failure `json:"failure"`
	DurationMs int64   `json:"duration_ms"`
}

// SnapshotTaken says that what an undo of the step will need is kept: the image of the
// state vector right before, and the package files that come and go. Appended by
// the executor while dpkg's lock is held; dpkg starts only when it is on record.
type SnapshotTaken struct {
	Index     int      `json:"index"` // of the step, from 0
	Snapshot  Digest   `json:"image"` // in the vault
	Debs      []Deb    `json:"debs,omitempty"`
	NotStored []string `json:"lost,omitempty"` // what goes and could not be kept, for people
}

// Succeeded ends a transaction whose steps all succeeded. Changes, Files and
// Settings are the differences that dpkg and the file system show, not the plan.
type Succeeded struct {
	Changes  []PackageChange `json:"changes"`
	Files    []FileChange    `json:"files,omitempty"`
	Settings []SettingChange `json:"settings,omitempty"`
}

// Failed ends a transaction one of whose steps failed. Changes is what happened
// all the same.
type Failed struct {
	Changes  []PackageChange `json:"changes"`
	Failure  Failure         `json:"failure"`
	Files    []FileChange    `json:"files,omitempty"`
	Settings []SettingChange `json:"settings,omitempty"`
}

// Interrupted ends a transaction that was cut off: the reconciler found it
// unfinished and recorded what dpkg shows. Recovered lists what was run to bring
// dpkg back to a consistent state.
type Interrupted struct {
	Changes   []PackageChange `json:"changes"`
	Reason    string          `json:"reason"`
	Recovered []string        `json:"recovered,omitempty"`
	Files     []FileChange    `json:"files,omitempty"`
	Settings  []SettingChange `json:"settings,omitempty"`
}

// Observed is a whole transaction that somebody else carried out: apt, dpkg or
// another front end, seen by the hooks. It opens and ends it. Appended by the
// observer.
type Observed struct {
	Number   int             `json:"number"` // see [Requested]
	Program  string          `json:"program"`
	Command  string          `json:"command,omitempty"` // as it was typed, masked
	UID      int             `json:"uid"`
	Started  time.Time       `json:"started,omitzero"`
	Snapshot Digest          `json:"image,omitempty"` // of right before; "" when it was not captured
	Debs     []Deb           `json:"debs,omitempty"`
	Changes  []PackageChange `json:"changes"`
	Files    []FileChange    `json:"files,omitempty"`
	Settings []SettingChange `json:"settings,omitempty"`
}

// Compensated says that transaction By undid this one. Exact is true only when
// every package state that this one changed was verified to be as before.
type Compensated struct {
	By      TransactionID `json:"by"`
	Exact   bool          `json:"exact"`
	Residue []string      `json:"residue,omitempty"` // what is not as before
}

// DeadLettered says that a handler gave up on a message after its retries.
type DeadLettered struct {
	Handler        string   `json:"handler"`
	Stream         string   `json:"stream"`
	StreamPosition Position `json:"position"` // in that stream
	EventID        ID       `json:"event"`
	EventKind      Kind     `json:"kind"`
	Failure        Failure  `json:"failure"`
	Attempts       int      `json:"attempts"`
}

// DeadLetterRetried says that a parked message was given to its handler again, and
// succeeded.
type DeadLetterRetried struct {
	DeadLetter ID `json:"parked"` // the id of the Parked fact
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

// Request is something somebody wants. It may be refused, and forges nothing:
// only the daemon turns it into facts.
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

// TransactionRequest asks for a plan. Its event's Transaction is the id that the
// new transaction will have, so asking twice with one id is asking once. Its
// kind is the same VERB.requested.v1 as the fact's.
type TransactionRequest struct {
	Intent
}

// ApproveRequest says yes to one plan.
type ApproveRequest struct {
	PlanID PlanID `json:"plan_id"`
	How    string `json:"how"`
}

// CancelRequest says no to a plan.
type CancelRequest struct {
	Reason string `json:"reason,omitempty"`
}

// RetryRequest asks to give a parked message to its handler again.
type RetryRequest struct {
	DeadLetter ID `json:"parked"`
}

// Kind implements [Request].
func (r *TransactionRequest) Kind() Kind { return RequestedKind(r.Verb) }

// The kinds of the other requests are fixed.
func (*ApproveRequest) Kind() Kind { return KindApproveRequested }
func (*CancelRequest) Kind() Kind  { return KindCancelRequested }
func (*RetryRequest) Kind() Kind   { return KindRetryRequested }

// MayChangeMachine implements [Request]: a plan changes nothing, a yes does.
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

// Progress is what a running transaction tells about itself while it runs. It
// is not a fact: it travels over core NATS and may be lost.
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

// Stage tells what kind of work is going on.
type Stage string

// The stages of a transaction's work.
const (
	StageWaiting  Stage = "waiting"  // for another package manager's lock
	StageRefresh  Stage = "refresh"  // fetching package lists
	StageDownload Stage = "download" // fetching packages
	StageApply    Stage = "apply"    // dpkg at work
	StageVerify   Stage = "verify"   // reading back what happened
)
