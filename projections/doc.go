// Package projections turns facts into SQLite tables that answer questions. Each
// read model is a folder of its own (doc.go, schema.sql, apply.go, query.go) and
// is driven by a [ReadModel].
//
// A Model promises:
//
//   - Exactly once: a batch of records and the checkpoint that says how far it
//     got commit in one SQLite transaction; records at or before the checkpoint
//     are skipped.
//   - The checkpoint holds position, id and hash of the last record. A record that
//     does not follow it is an alarm (events.ErrCorrupt), never skipped.
//   - Disposable: a file that is missing, damaged, of another schema version, of
//     another host or of another log is rebuilt from the first fact. It is built
//     aside and swapped in at once, so that readers never see half of it.
//   - A record that a projection cannot apply is kept in the table dead_letter
//     with the reason, and the rest goes on.
//
// Models never join each other, and reading never writes.
package projections
