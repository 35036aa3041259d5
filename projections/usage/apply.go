package usage

import (
	_ "embed"

	"cortex/events"
	"cortex/projections"
)

// Name is the name of the read model and of its file.
const Name = "usage"

// Version is the version of the tables.
const Version = 1

//go:embed schema.sql
var schema string

// Definition defines the read model.
func Definition() projections.Definition {
	return projections.Definition{
		Name: Name, Version: Version, Schema: schema,
		Handlers: []projections.Handler{
			projections.On(completed),
			projections.On(failed),
			projections.On(denied),
		},
	}
}

// Failure classes that are not failed calls of a provider.
const (
	classDenied      = "denied"      // the budget denied the call
	classBackoff     = "resting"     // the provider was in backoff
	classInterrupted = "interrupted" // the end of the call was not recorded
)

func completed(tx *projections.Tx, r events.Record, f *events.LLMCompleted) error {
	if f.Cache != "" {
		return insertCall(tx, r, 0, f.Task, events.LLMAttempt{Provider: "cache", Model: f.Model, PriceKnown: true, LatencyMs: f.LatencyMs})
	}
	return insertCalls(tx, r, f.Task, f.Attempts)
}

func failed(tx *projections.Tx, r events.Record, f *events.LLMFailed) error {
	if f.Class == classInterrupted {
		return insertCall(tx, r, 0, f.Task, events.LLMAttempt{Provider: "unknown", Class: classInterrupted})
	}
	return insertCalls(tx, r, f.Task, f.Attempts)
}

func denied(tx *projections.Tx, r events.Record, f *events.LLMDenied) error {
	return insertCalls(tx, r, f.Task, f.Attempts)
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
