package consumers

import (
	"context"

	"cortex/events"
)

// Worker reacts to one message.
type Worker interface {
	Handle(ctx context.Context, r events.Record) error
}

// Workers are the reactions of the road, in its order.
type Workers struct {
	Commands    Worker // requests → requested, approved, cancelled
	Planner     Worker // requested → planned, refused, denied
	Executor    Worker // approved → started … succeeded, failed, refused
	Compensator Worker // ended undo → compensated
}

// Handlers names each worker's subscription. The names are durable.
func (w Workers) Handlers(h events.HostID) []Handler {
	return []Handler{
		{"intake", events.RequestFilter(h), w.Commands.Handle},
		{"planner", events.RequestedFilter(h), w.Planner.Handle},
		{"executor", events.KindFilter(h, events.KindApproved), w.Executor.Handle},
		{"compensator-succeeded", events.KindFilter(h, events.KindSucceeded), w.Compensator.Handle},
		{"compensator-interrupted", events.KindFilter(h, events.KindInterrupted), w.Compensator.Handle},
	}
}
