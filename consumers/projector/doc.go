// Package projector applies the log to read models, outside the router.
//
// It promises:
//
//   - Each read model gets every record after its checkpoint, in order. A batch contains
//     the records that are available and never waits for more. Only the backlog at the
//     start is applied in full batches.
//   - A read model commits a batch together with its checkpoint. Nothing is acknowledged to
//     the log, and a crash repeats no record.
//   - A read model that fails is retried with exponential backoff. If its error is
//     events.ErrCorrupt, it is stopped and reported until [Projector.Resume]. The other
//     read models continue.
//   - A read model never changes the machine. It can be rebuilt from the log.
package projector
