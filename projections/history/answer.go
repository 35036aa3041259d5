package history

import (
	"fmt"
	"strings"
	"time"

	"cortex/events"
)

// FormatVersion is the version of the JSON form of the types in this file.
const FormatVersion = 1

// TransactionRow is one transaction of the history.
type TransactionRow struct {
	Number          int                     `json:"number"`
	ID              events.TransactionID    `json:"id"`
	Verb            events.Verb             `json:"verb"`
	State           events.TransactionState `json:"state"`
	Summary         string                  `json:"summary"` // e.g. "cowsay, sl (+3)"
	CommandLine     string                  `json:"words,omitempty"`
	DryRun          bool                    `json:"dry_run,omitempty"` // requested only to see the plan
	Actor           events.Actor            `json:"actor"`             // of the request
	RequestedAt     time.Time               `json:"requested_at"`
	StartedAt       time.Time               `json:"started_at,omitzero"`
	EndedAt         time.Time               `json:"ended_at,omitzero"`
	PlanID          events.PlanID           `json:"plan_id,omitempty"`
	Counts          Counts                  `json:"counts"`  // of the plan; after the run, of the changes
	PackagesChanged int                     `json:"changed"` // packages changed, according to dpkg
	FilesChanged    int                     `json:"files,omitempty"`
	// EndedPosition is the position of the outcome; 0 if the transaction never ran.
	EndedPosition   events.Position `json:"-"`
	SettingsChanged int             `json:"settings,omitempty"`
	Failure         *events.Failure `json:"failure,omitempty"`
	// Target is the transaction that an undo or redo reverts.
	Target *TransactionRef `json:"target,omitempty"`
	// Compensations are the undo of this transaction, the undo of that undo, and so
	// on. An odd number of them means that the transaction is currently undone.
	Compensations []TransactionRef `json:"compensations,omitempty"`
	// Exact and Residue are the result of the first undo.
	Exact   bool     `json:"exact,omitempty"`
	Residue []string `json:"residue,omitempty"`
}

// TransactionRef names a transaction. Number is 0 if the history does not contain it.
type TransactionRef struct {
	Number int                  `json:"number"`
	ID     events.TransactionID `json:"id"`
	Verb   events.Verb          `json:"verb,omitempty"`
}

// Undone reports whether the transaction is currently undone.
func (t TransactionRow) Undone() bool { return len(t.Compensations)%2 == 1 }

// Undoable reports whether the transaction changed something and is not currently undone.
func (t TransactionRow) Undoable() bool {
	return t.State.Ran() && t.PackagesChanged+t.FilesChanged+t.SettingsChanged > 0 && !t.Undone()
}

// CompensationSummary lists the undos and redos of the transaction, such as "undone by 7,
// redone by 8". It returns "" if there are none.
func (t TransactionRow) CompensationSummary() string {
	parts := make([]string, len(t.Compensations))
	for i, c := range t.Compensations {
		word := "undone"
		if i%2 == 1 {
			word = "redone"
		}
		parts[i] = fmt.Sprintf("%s by %d", word, c.Number)
	}
	return strings.Join(parts, ", ")
}

// Counts counts packages by their change. Each package is counted once.
type Counts struct {
	Installed   int `json:"installed,omitempty"`
	Upgraded    int `json:"upgraded,omitempty"`
	Downgraded  int `json:"downgraded,omitempty"`
	Reinstalled int `json:"reinstalled,omitempty"`
	Removed     int `json:"removed,omitempty"`
	Purged      int `json:"purged,omitempty"`
	Marked      int `json:"marked,omitempty"` // holds and automatic marks
	Other       int `json:"other,omitempty"`  // incomplete states and their repair
}

// TransactionDetail is everything about one transaction.
type TransactionDetail struct {
	TransactionRow
	RequestID      events.ID              `json:"request"` // the event that opened it
	Packages       []events.PackageRef    `json:"packages,omitempty"`
	Options        events.Options         `json:"options,omitzero"`
	Chosen         []events.Choice        `json:"chosen,omitempty"` // for a phrase
	Approval       *ApprovalRow           `json:"approval,omitempty"`
	Plan           *PlanRow               `json:"plan,omitempty"`
	Steps          []StepRow              `json:"steps"`
	PackageChanges []events.PackageChange `json:"package_changes"`
	FileChanges    []events.FileChange    `json:"file_changes,omitempty"`
	SettingChanges []events.SettingChange `json:"setting_changes,omitempty"`
	NotStored      []string               `json:"lost,omitempty"`      // removed versions that could not be stored
	Recovered      []string               `json:"recovered,omitempty"` // commands that repaired dpkg
}

// ApprovalRow records who approved the plan, and how.
type ApprovalRow struct {
	Actor events.Actor `json:"actor"`
	How   string       `json:"how"`
	At    time.Time    `json:"at"`
}

// PlanRow is the plan of a transaction.
type PlanRow struct {
	ID            events.PlanID `json:"id"`
	InventoryHash string        `json:"base"` // hash of the inventory that the plan is based on
	events.Plan
}

// StepRow is one executed step.
type StepRow struct {
	Index      int             `json:"index"`
	Op         events.Op       `json:"op"`
	Argv       []string        `json:"argv"`
	StartedAt  time.Time       `json:"started_at"`
	EndedAt    time.Time       `json:"ended_at,omitzero"` // zero if the step runs or was interrupted
	OK         bool            `json:"ok"`
	ExitCode   int             `json:"exit_code"`
	Output     string          `json:"output,omitempty"`
	Failure    *events.Failure `json:"failure,omitempty"`
	DurationMs int64           `json:"duration_ms"`
}

// OverlappingTransaction is a transaction and the packages that it shares with another one.
type OverlappingTransaction struct {
	TransactionRow
	Packages []events.PackageKey `json:"packages"`
}

// HandlerDeadLetter is a message that a handler could not process and that was not retried
// yet.
type HandlerDeadLetter struct {
	ID             events.ID            `json:"id"` // the argument of 'cortex events retry'
	Position       events.Position      `json:"position"`
	At             time.Time            `json:"at"`
	Transaction    events.TransactionID `json:"transaction,omitempty"`
	Handler        string               `json:"handler"`
	Stream         string               `json:"stream"`
	StreamPosition events.Position      `json:"stream_position"`
	EventID        events.ID            `json:"event"`
	Kind           events.Kind          `json:"kind"`
	Failure        events.Failure       `json:"failure"`
	Attempts       int                  `json:"attempts"`
}

// TransactionTotals counts the rows of the read model.
type TransactionTotals struct {
	Transactions          int                             `json:"transactions"`
	ByState               map[events.TransactionState]int `json:"by_state"`
	HandlerDeadLetters    int                             `json:"parked"`
	ProjectionDeadLetters int                             `json:"dead_letters"` // facts that the read model could not apply
	Position              events.Position                 `json:"position"`     // of the last applied fact
}
