// Package consumers runs the workers that react to messages: requests and facts
// come in, effects happen, facts are appended.
//
// Each worker is plain Go in a package of its own (intake, planner, executor,
// undoer, …) and knows nothing of messaging; this package gives it messages
// through a Watermill router and promises:
//
//   - At least once, in order, one at a time for each handler; a handler has a
//     durable name and goes on where it stopped. Workers are idempotent.
//   - A handler that fails is retried with growing pauses up to
//     events.MaxHandlerRetries. Then the message is parked: a fact with the
//     reason is appended, and the next message gets its turn. A parked message
//     can be given to its handler again.
//   - A handler that panics fails; the process goes on.
//   - Heartbeats while a handler works are the subscriber's business, so a
//     handler may take as long as apt does.
//
// Read models are not driven from here: see package projector.
package consumers
