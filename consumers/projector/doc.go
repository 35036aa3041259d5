// Package projector drives read models from the log, outside the router.
//
// It promises: each model gets every record after its own checkpoint, in order,
// in batches that are as large as what is waiting and never wait for more; only
// a backlog, which is known to exist, goes in full batches. A model commits a
// batch together with its checkpoint, so nothing is acknowledged to anybody and
// a crash repeats nothing. A model that fails for a passing reason is tried again
// with growing pauses; one that says the log or its own file is corrupt is
// stopped and reported until [Projector.Resume], and the others go on. No model
// ever acts on the world: it is rebuilt by reading the log again.
package projector
