// Package consumers receives requests and facts from the broker and calls the
// handlers that act on them. [Subscriptions] is the table of all that is subscribed.
//
// A handler is a function in a package of its own and does not know the broker.
// [Router] delivers messages to it and promises:
//
//   - At least once, in order, one message at a time for each handler. A handler
//     has a durable name and continues where it stopped. A handler is idempotent:
//     the second delivery of a message records nothing.
//   - A handler that fails is retried with growing delays, up to
//     events.MaxHandlerRetries times. Then the message becomes a dead letter: a fact
//     with the reason is appended, and the next message is delivered. A dead letter
//     can be retried.
//   - A handler that panics fails; the process keeps running.
//   - The subscriber sends heartbeats while a handler works, so a handler may take as
//     long as apt does.
//
// Each folder is one of four things. A consumer has rows in the table. A service is
// run by the daemon without the router, for the reason given. A library is called
// by the folders named. The folders below machine act on the machine.
//
//	commands         consumer: intake
//	planner          consumer: planner
//	executor         consumer: executor
//	undo             consumer: compensator-succeeded, compensator-interrupted
//	recovery         service: runs before the router starts, and before each transaction
//	external         service: reads the spool of the hooks, which write while no daemon runs
//	hwsnapshot       service: runs at start and before some plans, and for a request that intake receives
//	retention        service: runs when root asks, and prefetches package files between transactions
//	treehead         service: signs the log in order; its checkpoint is the file of heads
//	projector        service: feeds read models in order; each commits its own checkpoint
//	llm/ask          service: a question is answered while its caller waits
//	recorder         library of commands
//	inventory        library of recovery
//	policy           library of planner
//	policy/cel       library of the daemon
//	llm              library of llm/router
//	llm/anthropic    library of the daemon
//	llm/openai       library of the daemon
//	llm/router       library of llm/ask
//	llm/cachekey     library of the commands that ask
//	llm/modeltest    test support
//	machine          roles' shared types
//	machine/apt      effects: apt and dpkg
//	machine/confstate effects: configuration files and settings
//	machine/blobstore effects: the store of contents that an undo needs
//	machine/limits   effects: resource limits
//	machine/fakeapt  test support
//	machine/testbed  test support
//
// Two services read a read model, through an interface that they declare:
// treehead.TreeReader (the tree of the read model "audit") and ask.Cache (the
// answers of the read model "answers"). The daemon implements both. No other folder
// reads one.
package consumers
