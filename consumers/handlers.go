package consumers

import (
	"context"

	"cortex/events"
)

// HandleFunc reacts to one message.
type HandleFunc func(ctx context.Context, r events.Record) error

// HandleFuncs are the functions that the table subscribes. All are required.
type HandleFuncs struct {
	Commands    HandleFunc // commands.RequestHandler.Handle
	Planner     HandleFunc // planner.Planner.Handle, after hwsnapshot.Snapshotter
	Executor    HandleFunc // executor.Executor.Handle
	Compensator HandleFunc // undo.Compensator.Handle
}

// Subscription is one row of the table.
type Subscription struct {
	Name   string                       // durable: stored in the broker, never changed
	Topic  func(events.HostID) string   // the subjects that it receives
	Folder string                       // below consumers/
	handle func(HandleFuncs) HandleFunc // the function that it calls
}

// Subscriptions is everything that is subscribed, in the order of a transaction.
var Subscriptions = []Subscription{
	// requests → facts: requested, approved, cancelled, and the facts of single requests
	{"intake", events.RequestFilter, "commands", func(f HandleFuncs) HandleFunc { return f.Commands }},
	// requested → planned, refused, denied
	{"planner", events.RequestedFilter, "planner", func(f HandleFuncs) HandleFunc { return f.Planner }},
	// approved → started … succeeded, failed, refused
	{"executor", kind(events.KindApproved), "executor", func(f HandleFuncs) HandleFunc { return f.Executor }},
	// the end of an undo → compensated
	{"compensator-succeeded", kind(events.KindSucceeded), "undo", func(f HandleFuncs) HandleFunc { return f.Compensator }},
	{"compensator-interrupted", kind(events.KindInterrupted), "undo", func(f HandleFuncs) HandleFunc { return f.Compensator }},
}

func kind(k events.Kind) func(events.HostID) string {
	return func(h events.HostID) string { return events.KindFilter(h, k) }
}

// Handlers returns the handlers of a host: the table with its functions.
func Handlers(h events.HostID, f HandleFuncs) []Handler {
	var out []Handler
	for _, s := range Subscriptions {
		out = append(out, Handler{s.Name, s.Topic(h), s.handle(f)})
	}
	return out
}
