// Package audit is the read model of the Merkle tree over the log: the hashes of
// every leaf and every complete subtree, from which heads and proofs are made
// without reading the log.
//
// It promises that its leaves are the records' hashes in the order of the log, as
// events.Tree defines them. It is no evidence itself: who proves or verifies
// compares what comes from here with a signed head.
//
// [Projection] writes it; [Reader] answers from nothing but an open database.
package audit
