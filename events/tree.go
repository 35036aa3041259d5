package events

import "crypto/sha256"

// MerkleTree is the Merkle tree over the hashes of a log's records, in the order of the
// log, as RFC 6962 defines it: the leaf of a record is SHA-256(0 ‖ its hash), a
// node is SHA-256(1 ‖ left ‖ right). Its root stands for everything before it. The
// zero Tree is empty; it keeps one hash for every bit of its size.
type MerkleTree struct {
	size  uint64
	peaks []Hash // of the complete subtrees, the largest first
}

// LeafHash is the tree's hash of one record's hash.
func LeafHash(record Hash) Hash {
	return sha256.Sum256(append([]byte{0}, record[:]...))
}

// Append adds the hash of the record at position Size()+1.
func (t *MerkleTree) Append(record Hash) {
	h := LeafHash(record)
	for n := t.size; n&1 == 1; n >>= 1 {
		last := len(t.peaks) - 1
		h = nodeHash(t.peaks[last], h)
		t.peaks = t.peaks[:last]
	}
	t.peaks = append(t.peaks, h)
	t.size++
}

// Size is how many records the tree holds: the position of the last.
func (t *MerkleTree) Size() Position { return Position(t.size) }

// Root is the hash over all of them; of an empty tree, SHA-256 of nothing.
func (t *MerkleTree) Root() Hash {
	if len(t.peaks) == 0 {
		return sha256.Sum256(nil)
	}
	h := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		h = nodeHash(t.peaks[i], h)
	}
	return h
}

func nodeHash(left, right Hash) Hash {
	b := make([]byte, 0, 1+2*len(left))
	b = append(append(append(b, 1), left[:]...), right[:]...)
	return sha256.Sum256(b)
}
