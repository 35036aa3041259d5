package history

import (
	_ "embed"

	"cortex/events"
	"cortex/projections"
)

// Name is the name of the read model and of its file.
const Name = "history"

// Version is the version of the tables.
const Version = 3

//go:embed schema.sql
var schema string

// Definition defines the read model.
func Definition() projections.Definition {
	return projections.Definition{
		Name: Name, Version: Version, Schema: schema,
		Handlers: []projections.Handler{
			on(applier.requested),
			on(applier.planned),
			on(applier.refused),
			on(applier.approved),
			on(applier.denied),
			on(applier.cancelled),
			on(applier.started),
			on(applier.snapshotTaken),
			on(applier.stepStarted),
			on(applier.stepSucceeded),
			on(applier.stepFailed),
			on(applier.succeeded),
			on(applier.failed),
			on(applier.interrupted),
			on(applier.observed),
			on(applier.compensated),
			on(applier.deadLettered),
			on(applier.deadLetterRetried),
		},
	}
}

// applier applies one record.
type applier struct {
	tx *projections.Tx
	r  events.Record
}

func on[F events.Fact](apply func(applier, F) error) projections.Handler {
	return projections.On(func(tx *projections.Tx, r events.Record, f F) error { return apply(applier{tx, r}, f) })
}
