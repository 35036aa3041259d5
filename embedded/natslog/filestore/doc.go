// Package filestore reads and syncs the files in which nats-server stores a
// stream. Their format is private to nats-server, and this is the only package
// of Cortex that knows it.
//
// It promises:
//
//   - [Open] accepts only the nats-server versions that this package was tested
//     with. Every other function needs a [Store], so no file is read without
//     this check.
//   - It never creates, changes or removes one of the server's files. It takes
//     no lock, so the server may append while it reads.
//   - [Block.Read] returns only complete records whose checksum matches. It
//     reports whether the remaining bytes can be an interrupted write.
//   - After [Syncer.Wait] returns, every message that the server acknowledged
//     before the call is on disk.
//
// # Why other versions are refused
//
// Reading through JetStream instead would not be safe. When the server opens a
// stream it cuts a damaged block off at the first bad record, so the files must
// be checked before the server starts. The server acknowledges a message before
// it is on disk, so the files must be synced afterwards, and that needs their
// names. With an unknown format neither is possible. The refusal comes before
// the server starts and changes nothing.
//
// The version is chosen at build time, in go.mod. Therefore an untested version
// is found by the tests of this package and not on a user's machine. To raise
// it: change go.mod, run the tests of this package, read the changes to
// server/filestore.go between the two versions, then add the new version to
// [TestedVersions].
package filestore
