package projectiontest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"cortex/events"
	"cortex/events/memlog"
)

// Host is the host of all generated histories.
const Host = events.HostID("01940000-0000-7000-8000-000000000001")

// History draws a valid history of n facts. n is at least 2, for LogOpened and
// BaselineRecorded.
func History(t *rapid.T, n int) []events.Record {
	return Generate(func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "choice") }, n)
}

// Generate generates a valid history of n facts. choose returns a number in [0, n), like
// IntN of a seeded math/rand/v2 generator.
func Generate(choose func(n int) int, n int) []events.Record {
	w := &historyGenerator{choose: choose, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), inventory: events.Inventory{}}
	w.appendMachineFact(&events.LogOpened{Host: Host, Machine: "box", Build: "test"})
	w.recordBaseline()
	for len(w.records) < n {
		w.step()
	}
	return w.records[:n]
}

// Log returns a log of records. The first record must be the first of its log.
func Log(t TB, records []events.Record) *memlog.Log {
	t.Helper()
	log := memlog.New(Host)
	Append(t, log, records)
	return log
}

// Append appends records that follow the head of the log.
func Append(t TB, log events.Log, records []events.Record) {
	t.Helper()
	for _, r := range records {
		got, err := log.Append(context.Background(), r.Event, events.NoExpectation)
		if err != nil {
			t.Fatalf("append %s: %v", r, err)
		}
		if got.Link() != r.Link() {
			t.Fatalf("%s was appended at %d", r, got.Position)
		}
	}
}

// historyGenerator simulates a machine and records its facts.
type historyGenerator struct {
	choose          func(int) int
	now             time.Time
	ids             int
	records         []events.Record
	inventory       events.Inventory
	open            []*events.Transaction // transactions that have not ended
	running         *events.Transaction
	lastNumber      int
	undoable        []*events.Transaction // ended transactions with changes
	awaitingVerdict []*events.Transaction // ended undos and redos without a Compensated
	deadLetters     []events.Record

	lastSnapshot   *events.HardwareSnapshot // nil before the first snapshot
	lastSnapshotAt events.Position
}

// names are the packages of the archive.
var names = []events.PackageName{"cowsay", "sl", "perl", "libc6", "g++", "vim", "tree", "jq", "python3.11", "zlib1g"}

func (w *historyGenerator) id() events.ID {
	w.ids++
	// The first digits differ between ids, so that short prefixes are unique.
	return events.ID(fmt.Sprintf("%08x-0000-7000-8000-%012x", 0x01940000+w.ids*17, w.ids))
}

func (w *historyGenerator) chance(percent int) bool { return w.choose(100) < percent }

// append records one fact about a subject.
func (w *historyGenerator) append(s events.Subject, txn events.TransactionID, id events.ID, f events.Fact) events.Record {
	w.now = w.now.Add(time.Duration(w.choose(5000)-500) * time.Millisecond) // a clock can go back
	actor := events.Actor{Program: "cortexd", PID: 7}
	if w.chance(50) {
		actor = events.Actor{UID: 1000, User: "kim", LoginUID: 1000, SudoUser: "kim", TTY: "pts/1", Program: "cortex", PID: 8}
	}
	e, err := events.NewFactEvent(events.Event{ID: id, Host: Host, Subject: s, Time: w.now, Transaction: txn, Correlation: id, Causation: id, Actor: actor}, f)
	if err != nil {
		panic(fmt.Sprintf("projectiontest: a generated fact is invalid: %v", err))
	}
	var prev events.Link
	if len(w.records) > 0 {
		prev = w.records[len(w.records)-1].Link()
	}
	r := events.Record{Event: e, Position: prev.Position + 1, Prev: prev.Hash}
	r.Hash = events.ChainHash(r.Prev, r.Position, e)
	w.records = append(w.records, r)
	w.inventory.Apply(f)
	return r
}

func (w *historyGenerator) appendMachineFact(f events.Fact) {
	subject := events.MachineSubject(Host)
	switch f.(type) {
	case *events.LogOpened, *events.TreeHeadSigned:
		subject = events.LogSubject(Host)
	}
	w.append(subject, "", w.id(), f)
}

// appendTransactionFact records a fact of a transaction. It panics if the fact is not valid
// for the state of the transaction.
func (w *historyGenerator) appendTransactionFact(t *events.Transaction, id events.ID, f events.Fact) {
	txn := t.ID
	if txn == "" {
		txn = events.TransactionID(id)
	}
	r := w.append(events.TransactionSubject(txn), txn, id, f)
	if err := t.Apply(r); err != nil {
		panic(fmt.Sprintf("projectiontest: a generated fact is not allowed: %v", err))
	}
}

func (w *historyGenerator) recordBaseline() {
	var packages []events.Package
	for _, name := range names {
		if s := w.state(); s.Known() {
			packages = append(packages, events.Package{PackageKey: events.PackageKey{Name: name, Arch: "amd64"}, State: s})
		}
	}
	w.appendMachineFact(&events.BaselineRecorded{Packages: packages})
}

// state returns a state that dpkg can report.
func (w *historyGenerator) state() events.State {
	s := events.State{Version: events.Version(fmt.Sprintf("%d.%d-1", w.choose(3), w.choose(3))), Want: events.WantInstall, Flag: events.FlagOK, Status: events.StatusInstalled}
	switch w.choose(10) {
	case 0, 1, 2:
		return events.State{}
	case 3:
		s.Want, s.Status = events.WantDeinstall, events.StatusConfigFiles
	case 4:
		s.Want = events.WantHold
	case 5:
		s.Status, s.Flag = events.StatusHalfInstalled, events.FlagReinstreq
	case 6, 7:
		s.Auto = true
	}
	return s
}

// step records one random fact or a few.
func (w *historyGenerator) step() {
	switch roll := w.choose(20); {
	case roll < 7 && w.running != nil:
		w.run(w.running)
	case roll < 14 && len(w.open) > 0:
		w.advance(w.open[w.choose(len(w.open))])
	case roll == 14 && len(w.awaitingVerdict) > 0:
		w.compensate()
	case roll == 15:
		w.standaloneFact()
	default:
		w.request()
	}
}

// standaloneFact records a fact outside transactions.
func (w *historyGenerator) standaloneFact() {
	switch w.choose(10) {
	case 9:
		w.memory()
	case 8:
		w.llm()
	case 6:
		w.appendMachineFact(&events.AnswersForgotten{All: true, Reason: "asked for"})
	case 7:
		w.hardwareSnapshot()
	case 5:
		w.appendMachineFact(&events.GarbageCollected{ContentsRemoved: 1 + w.choose(9), BytesFreed: int64(w.choose(9000))})
	case 4:
		w.externalChange()
	case 0:
		if changes := w.changes(w.someKeys(3)); len(changes) > 0 {
			w.appendMachineFact(&events.DriftDetected{Changes: changes})
		}
	case 1:
		w.appendMachineFact(&events.IndexesRefreshed{Reason: "the indexes were old", DurationMs: int64(w.choose(9000))})
	case 2:
		about := w.records[w.choose(len(w.records))]
		w.append(events.DeadLetterSubject(w.id()), about.Transaction, w.id(), &events.DeadLettered{
			Handler: "planner", Stream: "CORTEX_EVT", StreamPosition: about.Position, EventID: about.ID, EventKind: about.Kind, Failure: w.failure(), Attempts: 5,
		})
		w.deadLetters = append(w.deadLetters, w.records[len(w.records)-1])
	case 3:
		if len(w.deadLetters) > 0 {
			i := w.choose(len(w.deadLetters))
			p := w.deadLetters[i]
			w.deadLetters = append(w.deadLetters[:i:i], w.deadLetters[i+1:]...)
			w.append(p.Subject, p.Transaction, w.id(), &events.DeadLetterRetried{DeadLetter: p.ID})
		}
	}
}

func (w *historyGenerator) failure() events.Failure {
	return events.Failure{
		Kind: events.ErrorKinds[w.choose(len(events.ErrorKinds))], Subject: string(names[w.choose(len(names))]),
		Message: "the step failed", Hint: "see 'cortex show'",
	}
}

func (w *historyGenerator) someKeys(most int) []events.PackageKey {
	var out []events.PackageKey
	seen := map[events.PackageName]bool{}
	for range 1 + w.choose(most) {
		name := names[w.choose(len(names))]
		if !seen[name] {
			seen[name] = true
			out = append(out, events.PackageKey{Name: name, Arch: "amd64"})
		}
	}
	return out
}

// changes assigns random states to packages. It returns the changes in the order of
// events.DiffInventories.
func (w *historyGenerator) changes(keys []events.PackageKey) []events.PackageChange {
	var out []events.PackageChange
	for _, k := range keys {
		if after := w.state(); after != w.inventory[k] {
			out = append(out, events.PackageChange{PackageKey: k, Before: w.inventory[k], After: after})
		}
	}
	slices.SortFunc(out, func(a, b events.PackageChange) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}
