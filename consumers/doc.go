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
// Each folder is one of five things. A consumer has rows in the table. The daemon
// runs a service without the router, for the reason given. A library is called by
// the folders named. The folders below machine act on this machine. Test support is
// imported by tests only. TestFoldersAreWhatTheDocSays holds this list.
//
//	commands           consumer: intake
//	planner            consumer: planner
//	executor           consumer: executor
//	undo               consumer: compensator-succeeded, compensator-interrupted; library of planner
//	recovery           service: runs before the router starts, and before each transaction
//	external           service: reads the spool of the hooks, which write while no daemon runs
//	limiter            service: applies limits; intake calls it for requests, and it watches the limited groups
//	hwsnapshot         service: runs at start and before some plans; intake calls it for requests
//	retention          service: runs when root asks, and between transactions
//	treehead           service: signs the log in order; the file of heads is its checkpoint
//	projector          service: feeds read models in order; each commits its own checkpoint
//	llm/ask            service: answers a question while its caller waits
//	recorder           library of commands, planner, executor, undo and the services
//	inventory          library of recovery, external, undo
//	policy             library of planner, executor
//	policy/cel         library of cmd
//	llm                library of llm/router, llm/ask, llm/anthropic, llm/openai
//	llm/anthropic      library of cmd
//	llm/openai         library of cmd
//	llm/router         library of llm/ask
//	llm/cachekey       library of cmd
//	llm/modeltest      test support
//	machine            library of executor: the types that the roles towards the machine share
//	machine/apt        machine: apt and dpkg
//	machine/confstate  machine: configuration files and settings
//	machine/blobstore  machine: the store of contents that an undo needs
//	machine/limits     machine: resource limits
//	machine/fakeapt    test support
//	machine/testbed    test support
//
// Two services read a read model, through an interface that they declare:
// treehead.TreeReader (the tree, in the read model "audit") and ask.Cache (answers,
// in the read model "answers"). The daemon implements both.
package consumers
