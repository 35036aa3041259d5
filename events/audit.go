package events

// TreeHeadSigned records a signed head of the tree over the log; see [MerkleTree]. The note
// is in the format of golang.org/x/mod/sumdb/note and names the key that signed
// it. Appended by the auditor now and then, so that a log that was rewritten
// contradicts itself; nothing consumes it but who verifies.
type TreeHeadSigned struct {
	Size Position `json:"size"` // how many records the tree holds; all are before this one
	Root string   `json:"root"` // of the tree, 64 hexadecimal digits
	Note string   `json:"note"` // the head as it was signed
}

// Kind implements [Fact].
func (*TreeHeadSigned) Kind() Kind  { return KindTreeHeadSigned }
func (*TreeHeadSigned) fact()       {}
func (*TreeHeadSigned) standalone() {}
