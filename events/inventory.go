package events

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
)

// Inventory is the state of all packages of one machine. Folded from the log it is the
// recorded state; read from dpkg it is the actual state. The difference is drift.
type Inventory map[PackageKey]State

// NewInventory indexes packages and leaves out those that the machine does not know.
func NewInventory(packages []Package) Inventory {
	inv := make(Inventory, len(packages))
	for _, p := range packages {
		if p.Known() {
			inv[p.PackageKey] = p.State
		}
	}
	return inv
}

// Packages returns the packages, sorted by name and architecture.
func (inv Inventory) Packages() []Package {
	out := make([]Package, 0, len(inv))
	for k, s := range inv {
		out = append(out, Package{k, s})
	}
	slices.SortFunc(out, func(a, b Package) int { return comparePackageKeys(a.PackageKey, b.PackageKey) })
	return out
}

func comparePackageKeys(a, b PackageKey) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch))
}

// DiffInventories returns the changes from before to after, sorted by name and
// architecture.
func DiffInventories(before, after Inventory) []PackageChange {
	var out []PackageChange
	for k, b := range before {
		if a := after[k]; a != b {
			out = append(out, PackageChange{k, b, a})
		}
	}
	for k, a := range after {
		if _, ok := before[k]; !ok {
			out = append(out, PackageChange{k, State{}, a})
		}
	}
	slices.SortFunc(out, func(a, b PackageChange) int { return comparePackageKeys(a.PackageKey, b.PackageKey) })
	return out
}

// Apply folds one fact into the inventory. Facts without package changes do not change
// it.
func (inv Inventory) Apply(f Fact) {
	if baseline, ok := f.(*BaselineRecorded); ok {
		clear(inv)
		for _, p := range baseline.Packages {
			inv[p.PackageKey] = p.State
		}
		return
	}
	inv.apply(ChangesOf(f))
}

// ChangesOf returns the package changes that a fact records, nil for facts that record
// none.
func ChangesOf(f Fact) []PackageChange {
	switch f := f.(type) {
	case *DriftDetected:
		return f.Changes
	case *Succeeded:
		return f.Changes
	case *Failed:
		return f.Changes
	case *Interrupted:
		return f.Changes
	case *Observed:
		return f.Changes
	case *SnapshotTaken, *BaselineRecorded, *Requested, *Planned, *Refused, *Approved, *Denied, *Cancelled, *Started,
		*StepStarted, *StepSucceeded, *StepFailed, *Compensated, *LogOpened, *IndexesRefreshed, *GarbageCollected,
		*DeadLettered, *DeadLetterRetried, *UnknownFact, StandaloneFact:
	}
	return nil
}

func (inv Inventory) apply(changes []PackageChange) {
	for _, c := range changes {
		if c.After.Known() {
			inv[c.PackageKey] = c.After
		} else {
			delete(inv, c.PackageKey)
		}
	}
}

// InventoryKinds are the kinds of fact that [Inventory.Apply] reads.
var InventoryKinds = []Kind{KindBaselineRecorded, KindDriftDetected, KindSucceeded, KindFailed, KindInterrupted, KindObserved}

// Hash identifies the inventory's content: hex SHA-256 over its sorted packages.
func (inv Inventory) Hash() string {
	h := sha256.New()
	for _, p := range inv.Packages() {
		fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00%s\x00%s\x00%t\n", p.Name, p.Arch, p.Version, p.Want, p.Flag, p.Status, p.Auto)
	}
	return hex.EncodeToString(h.Sum(nil))
}
