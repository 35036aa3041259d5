// Package treehead signs heads of the Merkle tree over the log and verifies a log
// against them.
//
// It promises: a head is signed only when it continues the last one that was
// signed; what it signs is appended to a file outside the log's store and synced,
// and now and then becomes a fact; a head is signed when a transaction ends, at
// the daemon's start and end, and at the latest every [MaxUnsignedFacts] facts. The key
// is made once, readable by its owner alone. Verifying needs neither the daemon
// nor the private key and changes nothing.
//
// Whoever owns the machine owns the key as well and can sign another history. A
// head that was carried elsewhere before is the proof against that.
package treehead
