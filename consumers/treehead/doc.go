// Package treehead signs heads of the Merkle tree over the log, and verifies a log
// against signed heads.
//
// It promises:
//
//   - A head is signed only if it continues the last signed head.
//   - A signed head is appended to a file outside the log's store and synced. At
//     intervals one is also recorded as a fact.
//   - A head is signed when a transaction ends, when the daemon starts and ends, and at
//     the latest every [MaxUnsignedFacts] facts.
//   - The key is created once, readable by its owner only.
//   - Verification needs neither the daemon nor the private key, and changes nothing.
//
// The owner of the machine also owns the key and can sign another history. A head that
// was copied to another place earlier is the proof against that.
package treehead
