package usage

import (
	_ "embed"

	"cortex/events"
	"cortex/projections"
)

// Name is the read model's name, and its file's.
const Name = "usage"

// Version is the version of the tables.
const Version = 1

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

// Classes of what was no failed call of a provider.
const (
	denied      = "denied"      // by the budget
	resting     = "resting"     // the provider was left alone
	interrupted = "interrupted" // nobody saw the end
)

// Apply implements [projections.Projection]. Every other fact is of no concern.
func (Projection) Apply(tx *projections.Tx, r events.Record, f events.Fact) error {
	switch f := f.(type) {
	case *events.LLMCompleted:
		if f.Cache != "" {
			return call(tx, r, 0, f.Task, events.LLMAttempt{Provider: "cache", Model: f.Model, Priced: true, LatencyMs: f.LatencyMs})
		}
		return calls(tx, r, f.Task, f.Attempts)
	case *events.LLMFailed:
		if f.Class == interrupted {
			return call(tx, r, 0, f.Task, events.LLMAttempt{Provider: "unknown", Class: interrupted})
		}
		return calls(tx, r, f.Task, f.Attempts)
	case *events.LLMDenied:
		return calls(tx, r, f.Task, f.Attempts)
	}
	return nil
}

func calls(tx *projections.Tx, r events.Record, t events.Task, attempts []events.LLMAttempt) error {
	for n, a := range attempts {
		if err := call(tx, r, n, t, a); err != nil {
			return err
		}
	}
	return nil
}

func call(tx *projections.Tx, r events.Record, n int, t events.Task, a events.LLMAttempt) error {
	_, err := tx.Exec(`INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, int64(r.Position), n, r.Time.UnixNano(), r.Time.UTC().Format("2006-01-02"),
		string(t), a.Provider, a.Model, a.Class, a.Input, a.Output, a.Cost, a.Priced, a.LatencyMs)
	return err
}
