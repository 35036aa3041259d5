package packages

import (
	"database/sql"
	_ "embed"

	"cortex/events"
	"cortex/projections"
)

// Name is the name of the read model and of its file.
const Name = "packages"

// Version is the version of the tables.
const Version = 2

//go:embed schema.sql
var schema string

// Definition defines the read model.
func Definition() projections.Definition {
	return projections.Definition{
		Name: Name, Version: Version, Schema: schema,
		Handlers: []projections.Handler{
			projections.On(requested),
			projections.On(observed),
			projections.On(outcome[*events.Succeeded]),
			projections.On(outcome[*events.Failed]),
			projections.On(outcome[*events.Interrupted]),
			projections.On(baselineRecorded),
			projections.On(driftDetected),
		},
	}
}

func requested(tx *projections.Tx, r events.Record, f *events.Requested) error {
	return insertTransaction(tx, r, f.Number, f.Verb)
}

func observed(tx *projections.Tx, r events.Record, f *events.Observed) error {
	if err := insertTransaction(tx, r, f.Number, events.VerbObserved); err != nil {
		return err
	}
	return recordChanges(tx, r, ByTransaction, f.Changes)
}

func insertTransaction(tx *projections.Tx, r events.Record, number int, verb events.Verb) error {
	_, err := tx.Exec(`INSERT INTO transactions VALUES (?, ?, ?)`, string(r.Transaction), number, string(verb))
	return err
}

func outcome[F events.Fact](tx *projections.Tx, r events.Record, f F) error {
	return recordChanges(tx, r, ByTransaction, events.ChangesOf(f))
}

func baselineRecorded(tx *projections.Tx, r events.Record, f *events.BaselineRecorded) error {
	before, err := inventory(tx)
	if err != nil {
		return err
	}
	return recordChanges(tx, r, ByBaseline, events.DiffInventories(before, events.NewInventory(f.Packages)))
}

func driftDetected(tx *projections.Tx, r events.Record, f *events.DriftDetected) error {
	return recordChanges(tx, r, ByDrift, f.Changes)
}

// inventory reads the current state of all packages.
func inventory(tx *projections.Tx) (events.Inventory, error) {
	out := events.Inventory{}
	err := tx.Each(`SELECT name, arch, version, want, flag, status, auto FROM current`, nil, func(rows *sql.Rows) error {
		var p events.Package
		err := rows.Scan(&p.Name, &p.Arch, &p.Version, &p.Want, &p.Flag, &p.Status, &p.Auto)
		out[p.PackageKey] = p.State
		return err
	})
	return out, err
}

// recordChanges stores the changes of one fact and updates the current states.
func recordChanges(tx *projections.Tx, r events.Record, kind CauseKind, changes []events.PackageChange) error {
	if len(changes) == 0 {
		return nil
	}
	if _, err := tx.Exec(`INSERT INTO causes VALUES (?, ?, ?, ?)`, int64(r.Position), r.Time.UnixNano(), string(kind), string(r.Transaction)); err != nil {
		return err
	}
	for _, c := range changes {
		b, a := c.Before, c.After
		if _, err := tx.Exec(`INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, string(c.Name), string(c.Arch), int64(r.Position),
			string(b.Version), string(b.Want), string(b.Flag), string(b.Status), b.Auto,
			string(a.Version), string(a.Want), string(a.Flag), string(a.Status), a.Auto); err != nil {
			return err
		}
		if err := updateCurrent(tx, r, c.PackageKey, a); err != nil {
			return err
		}
	}
	return nil
}

// updateCurrent stores the state of a package, or deletes it if dpkg does not know the
// package any more.
func updateCurrent(tx *projections.Tx, r events.Record, k events.PackageKey, s events.State) (err error) {
	if s.Known() {
		_, err = tx.Exec(`INSERT OR REPLACE INTO current VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, string(k.Name), string(k.Arch),
			string(s.Version), string(s.Want), string(s.Flag), string(s.Status), s.Auto, int64(r.Position))
	} else {
		_, err = tx.Exec(`DELETE FROM current WHERE name = ? AND arch = ?`, string(k.Name), string(k.Arch))
	}
	return err
}
