package events

import "crypto/sha256"

// MerkleTree is the Merkle tree of RFC 6962 over the hashes of a log's records, in the
// order of the log. The leaf of a record is SHA-256(0 ‖ its hash), a node is
// SHA-256(1 ‖ left ‖ right). Its root identifies all records in it. The zero MerkleTree
// is empty. The tree holds one hash for each set bit of its size.
type MerkleTree struct {
	size  uint64
	peaks []Hash // of the complete subtrees, the largest first
}

// LeafHash returns the leaf of a record with that hash.
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

// Size returns the number of records, which is the position of the last one.
func (t *MerkleTree) Size() Position { return Position(t.size) }

// Root returns the root. The root of an empty tree is SHA-256 of no bytes.
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
