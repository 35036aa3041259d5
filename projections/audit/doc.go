// Package audit is the read model of the Merkle tree over the log: the hashes of every
// leaf and every complete subtree. Tree heads and proofs are computed from it without
// reading the log.
//
// It promises that its leaves are the hashes of the records in the order of the log, as
// events.MerkleTree defines them. The read model is not evidence: compare its results with
// a signed tree head.
//
// [Definition] defines the tables and [Reader] queries them in an open database.
package audit
