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
	classDenied      = "denied"      // by the budget
	classBackoff     = "resting"     // the provider was left alone
	classInterrupted = "interrupted" // nobody saw the end
)

// Apply implements [projections.Projection]. Every other fact is of no concern.
func (Projection) Apply(tx *projections.Tx, r events.Record, f events.Fact) error {
	switch f := f.(type) {
	case *events.LLMCompleted:
		if f.Cache != "" {
			return insertCall(tx, r, 0, f.Task, events.LLMAttempt{Provider: "cache", Model: f.Model, PriceKnown: true, LatencyMs: f.LatencyMs})
		}
		return insertCalls(tx, r, f.Task, f.Attempts)
	case *events.LLMFailed:
		if f.Class == classInterrupted {
			return insertCall(tx, r, 0, f.Task, events.LLMAttempt{Provider: "unknown", Class: classInterrupted})
		}
		return insertCalls(tx, r, f.Task, f.Attempts)
	case *events.LLMDenied:
		return insertCalls(tx, r, f.Task, f.Attempts)
	}
	return nil
}

func insertCalls(tx *projections.Tx, r events.Record, t events.LLMTask, attempts []events.LLMAttempt) error {
	for n, a := range attempts {
		if err := insertCall(tx, r, n, t, a); err != nil {
			return err
		}
	}
	return nil
}

func insertCall(tx *projections.Tx, r events.Record, n int, t events.LLMTask, a events.LLMAttempt) error {
	_, err := tx.Exec(`INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, int64(r.Position), n, r.Time.UnixNano(), r.Time.UTC().Format("2006-01-02"),
		string(t), a.Provider, a.Model, a.Class, a.InputTokens, a.OutputTokens, a.Cost, a.PriceKnown, a.LatencyMs)
	return err
}
