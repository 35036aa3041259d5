// Package projections turns facts into SQLite tables that answer questions. Each read
// model has a folder of its own: doc.go states its promise, schema.sql its tables,
// apply.go its handlers and query.go its questions. A [Definition] describes it, a
// [ReadModel] keeps its file, and its Reader answers from [Tables].
//
// A ReadModel promises:
//
//   - Exactly once: a batch of records and the checkpoint commit in one SQLite
//     transaction. Records at or before the checkpoint are skipped.
//   - The checkpoint holds position, id and hash of the last record. A record that
//     does not follow it is an error (events.ErrCorrupt) and is never skipped.
//   - Disposable: a file that is missing, damaged, of another schema version, of
//     another host or of another log is rebuilt from the first fact. The new file
//     replaces the old one in one step, so readers never see a part of it.
//   - A fact that a handler cannot apply becomes a dead letter: the table dead_letter
//     stores it with the reason, and the read model continues.
//   - A record of an unknown kind is skipped.
//
// Read models never join each other, and queries never write.
package projections
