package packages

import (
	_ "embed"

	"cortex/events"
	"cortex/projections"
)

// Name is the read model's name, and its file's.
const Name = "packages"

// Version is the version of the tables.
const Version = 2

//go:embed schema.sql
var schema string

// Projection writes the read model.
type Projection struct{}

var _ projections.Projection = Projection{}

// Name implements [projections.Projection].
func (Projection) Name() string { return Name }

// Version implements [projections.Projection].
func (Projection) Version() int { return Version }

// Schema implements [projections.Projection].
func (Projection) Schema() string { return schema }

// Apply implements [projections.Projection].
func (Projection) Apply(tx *projections.Tx, r events.Record, f events.Fact) error {
	switch f := f.(type) {
	case *events.BaselineRecorded:
		changes, err := baselineChanges(tx, f.Packages)
		if err != nil {
			return err
		}
		return recordChanges(tx, r, ByBaseline, changes)
	case *events.DriftDetected:
		return recordChanges(tx, r, ByDrift, f.Changes)
	case *events.Succeeded, *events.Failed, *events.Interrupted:
		return recordChanges(tx, r, ByTransaction, events.ChangesOf(f))
	case *events.Observed:
		if _, err := tx.Exec(`INSERT INTO transactions VALUES (?, ?, ?)`, string(r.Transaction), f.Number, string(events.VerbObserved)); err != nil {
			return err
		}
		return recordChanges(tx, r, ByTransaction, f.Changes)
	case *events.Requested:
		_, err := tx.Exec(`INSERT INTO transactions VALUES (?, ?, ?)`, string(r.Transaction), f.Number, string(f.Verb))
		return err
	case *events.LogOpened, *events.IndexesRefreshed, *events.GarbageCollected, *events.Planned, *events.Refused, *events.Approved, *events.Denied,
		*events.Cancelled, *events.Started, *events.SnapshotTaken, *events.StepStarted, *events.StepSucceeded, *events.StepFailed,
		*events.Compensated, *events.DeadLettered, *events.DeadLetterRetried, *events.Unknown, events.StandaloneFact:
		return nil // they change no package
	}
	return nil
}

// baselineChanges is what seeing the whole machine anew changes.
func baselineChanges(tx *projections.Tx, packages []events.Package) ([]events.PackageChange, error) {
	rows, err := tx.Query(`SELECT name, arch, version, want, flag, status, auto FROM current`)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	before := events.Inventory{}
	for rows.Next() {
		var p events.Package
		if err := rows.Scan(&p.Name, &p.Arch, &p.Version, &p.Want, &p.Flag, &p.Status, &p.Auto); err != nil {
			return nil, err
		}
		before[p.PackageKey] = p.State
	}
	return events.DiffInventories(before, events.NewInventory(packages)), rows.Err()
}

// recordChanges records the changes of one fact and what is so afterwards.
func recordChanges(tx *projections.Tx, r events.Record, source CauseKind, changes []events.PackageChange) error {
	if len(changes) == 0 {
		return nil
	}
	if _, err := tx.Exec(`INSERT INTO causes VALUES (?, ?, ?, ?)`, int64(r.Position), r.Time.UnixNano(), string(source), string(r.Transaction)); err != nil {
		return err
	}
	for _, c := range changes {
		b, a := c.Before, c.After
		if _, err := tx.Exec(`INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, string(c.Name), string(c.Arch), int64(r.Position),
			string(b.Version), string(b.Want), string(b.Flag), string(b.Status), b.Auto,
			string(a.Version), string(a.Want), string(a.Flag), string(a.Status), a.Auto); err != nil {
			return err
		}
		var err error
		if a.Known() {
			_, err = tx.Exec(`INSERT OR REPLACE INTO current VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, string(c.Name), string(c.Arch),
				string(a.Version), string(a.Want), string(a.Flag), string(a.Status), a.Auto, int64(r.Position))
		} else {
			_, err = tx.Exec(`DELETE FROM current WHERE name = ? AND arch = ?`, string(c.Name), string(c.Arch))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
