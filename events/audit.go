package events

// TreeHeadSigned records a signed head of the tree over the log; see [MerkleTree]. The
// note is in the format of golang.org/x/mod/sumdb/note and names the key that signed
// it. It is appended from time to time, so that a rewritten log contradicts itself.
// Only verification reads it.
type TreeHeadSigned struct {
	Size Position `json:"size"` // the number of records in the tree; all are before this one
	Root string   `json:"root"` // of the tree, 64 hexadecimal digits
	Note string   `json:"note"` // the signed head
}

// Kind implements [Fact].
func (*TreeHeadSigned) Kind() Kind  { return KindTreeHeadSigned }
func (*TreeHeadSigned) fact()       {}
func (*TreeHeadSigned) standalone() {}
