package history

import (
	"fmt"
	"strings"
	"time"

	"cortex/events"
)

// FormatVersion is the version of the JSON form of the types in this file.
const FormatVersion = 1

// TransactionRow is one line of the history.
type TransactionRow struct {
	Number          int                     `json:"number"`
	ID              events.TransactionID    `json:"id"`
	Verb            events.Verb             `json:"verb"`
	State           events.TransactionState `json:"state"`
	Summary         string                  `json:"summary"` // e.g. "cowsay, sl (+3)"
	CommandLine     string                  `json:"words,omitempty"`
	DryRun          bool                    `json:"dry_run,omitempty"` // was asked for only to see the plan
	Actor           events.Actor            `json:"actor"`             // who asked
	RequestedAt     time.Time               `json:"requested_at"`
	StartedAt       time.Time               `json:"started_at,omitzero"`
	EndedAt         time.Time               `json:"ended_at,omitzero"`
	PlanID          events.PlanID           `json:"plan_id,omitempty"`
	Counts          Counts                  `json:"counts"`  // of the plan; once it ran, of what changed
	PackagesChanged int                     `json:"changed"` // packages changed, by dpkg
	FilesChanged    int                     `json:"files,omitempty"`
	// EndedPosition is where the log says how a run ended; 0 when it never ran.
	EndedPosition   events.Position `json:"-"`
	SettingsChanged int             `json:"settings,omitempty"`
	Failure         *events.Failure `json:"failure,omitempty"`
	// Target is what an undo or redo takes back.
	Target *TransactionRef `json:"target,omitempty"`
	// Compensations tells who undid it, who undid that, and so on: an odd number
	// of them means that it is undone now.
	Compensations []TransactionRef `json:"compensations,omitempty"`
	// Exact and Residue are the verdict on the first of them.
	Exact   bool     `json:"exact,omitempty"`
	Residue []string `json:"residue,omitempty"`
}

// TransactionRef names a transaction. Number is 0 when the history does not know it.
type TransactionRef struct {
	Number int                  `json:"number"`
	ID     events.TransactionID `json:"id"`
	Verb   events.Verb          `json:"verb,omitempty"`
}

// Undone reports whether the transaction's effect is taken back now.
func (t TransactionRow) Undone() bool { return len(t.Compensations)%2 == 1 }

// Undoable reports whether there is something to take back, and it is not taken
// back now.
func (t TransactionRow) Undoable() bool {
	return t.State.Ran() && t.PackagesChanged+t.FilesChanged+t.SettingsChanged > 0 && !t.Undone()
}

// CompensationSummary tells what became of the transaction afterwards: "undone by 7, redone by
// 8"; "" when nothing did.
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

// Totals sorts packages by what happens to them. Each is counted once.
type Counts struct {
	Installed   int `json:"installed,omitempty"`
	Upgraded    int `json:"upgraded,omitempty"`
	Downgraded  int `json:"downgraded,omitempty"`
	Reinstalled int `json:"reinstalled,omitempty"`
	Removed     int `json:"removed,omitempty"`
	Purged      int `json:"purged,omitempty"`
	Marked      int `json:"marked,omitempty"` // holds and automatic marks
	Other       int `json:"other,omitempty"`  // half-way states and what leads out of them
}

// TransactionDetail is everything about one transaction.
type TransactionDetail struct {
	TransactionRow
	RequestID      events.ID              `json:"request"` // the event that opened it
	Packages       []events.PackageRef    `json:"packages,omitempty"`
	Options        events.Options         `json:"options,omitzero"`
	Chosen         []events.Choice        `json:"chosen,omitempty"` // for words
	Approval       *Approval              `json:"approval,omitempty"`
	Plan           *PlanRow               `json:"plan,omitempty"`
	Steps          []StepRow              `json:"steps"`
	PackageChanges []events.PackageChange `json:"package_changes"`
	FileChanges    []events.FileChange    `json:"file_changes,omitempty"`
	SettingChanges []events.SettingChange `json:"setting_changes,omitempty"`
	NotStored      []string               `json:"lost,omitempty"`      // versions that went and could not be kept
	Recovered      []string               `json:"recovered,omitempty"` // run to bring dpkg back in order
}

// Approval is who said yes.
type Approval struct {
	Actor events.Actor `json:"actor"`
	How   string       `json:"how"`
	At    time.Time    `json:"at"`
}

// PlanRow is what was going to happen.
type PlanRow struct {
	ID            events.PlanID `json:"id"`
	InventoryHash string        `json:"base"` // hash of the inventory it was made on
	events.Plan
}

// StepRow is one step as it ran.
type StepRow struct {
	Index      int             `json:"index"`
	Op         events.Op       `json:"op"`
	Argv       []string        `json:"argv"`
	StartedAt  time.Time       `json:"started_at"`
	EndedAt    time.Time       `json:"ended_at,omitzero"` // zero while it runs, or when it was cut off
	OK         bool            `json:"ok"`
	ExitCode   int             `json:"exit_code"`
	Output     string          `json:"output,omitempty"`
	Failure    *events.Failure `json:"failure,omitempty"`
	DurationMs int64           `json:"duration_ms"`
}

// OverlappingTransaction is a transaction and those of its packages that were asked about.
type OverlappingTransaction struct {
	TransactionRow
	Packages []events.PackageKey `json:"packages"`
}

// HandlerDeadLetter is a message that a handler gave up on and that was not retried yet.
type HandlerDeadLetter struct {
	ID             events.ID            `json:"id"` // what 'cortex events retry' takes
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

// Totals counts what the history holds.
type Totals struct {
	Transactions          int                             `json:"transactions"`
	ByState               map[events.TransactionState]int `json:"by_state"`
	HandlerDeadLetters    int                             `json:"parked"`
	ProjectionDeadLetters int                             `json:"dead_letters"` // facts the read model could not apply
	Position              events.Position                 `json:"position"`     // of the last fact that is in
}
