package treehead

import (
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/note"

	"cortex/events"
)

// VerifyInput is a log and the evidence to verify it against. Log and Verifier are
// required.
type VerifyInput struct {
	// Log yields the stored records from the first, each consistent with its own
	// hash, up to the end or to an error.
	Log iter.Seq2[events.Record, error]
	// Verifier is the public key of the log's heads.
	Verifier note.Verifier
	// Heads are the signed heads of the file, the oldest first.
	Heads []Head
	// TrustedHead is a head from another place; nil for none.
	TrustedHead *Head
	// KnownLeaf returns a record's leaf from the time when it was appended, if it is
	// known; nil if none is. It only serves to name the changed record.
	KnownLeaf func(events.Position) (events.Hash, bool)
}

// Fault is one fault and its range of positions. Both are equal if the record is known,
// and 0 if the fault is outside the log.
type Fault struct {
	First   events.Position `json:"first,omitempty"`
	Last    events.Position `json:"last,omitempty"`
	Message string          `json:"message"`
}

// String describes the fault in one line.
func (f Fault) String() string {
	switch {
	case f.First == 0 && f.Last == 0:
		return f.Message
	case f.First == f.Last:
		return fmt.Sprintf("event %d: %s", f.First, f.Message)
	}
	return fmt.Sprintf("events %d to %d: %s", f.First, f.Last, f.Message)
}

// VerifyResult is the result of a verification.
type VerifyResult struct {
	Events        events.Position `json:"events"`          // number of events that form a chain
	Root          string          `json:"root"`            // of the tree over them
	Heads         int             `json:"heads"`           // signed heads that match
	RecordedHeads int             `json:"recorded_heads"`  // heads in the log that match
	SignedUpTo    events.Position `json:"signed"`          // the size of the largest head that matches
	TrustedSize   events.Position `json:"since,omitempty"` // the size of the trusted head
	Faults        []Fault         `json:"faults"`
}

// OK reports whether there is no fault.
func (v VerifyResult) OK() bool { return len(v.Faults) == 0 }

// Verify reads the whole log and compares it with the evidence. After a fault it
// continues as long as there is something to compare.
func Verify(e VerifyInput) VerifyResult {
	w := verification{input: e, pendingHeads: e.Heads, result: VerifyResult{Faults: []Fault{}}}
	w.pendingHeads = append([]Head(nil), e.Heads...)
	var prev events.Link
	for r, err := range e.Log {
		if err == nil {
			err = r.Verify(prev)
		}
		if err != nil {
			w.addFault(prev.Position+1, prev.Position+1, err.Error())
			w.damaged = true
			break
		}
		prev = r.Link()
		w.addRecord(r)
	}
	w.checkTruncated()
	w.result.Events, w.result.Root = w.tree.Size(), w.tree.Root().String()
	return w.result
}

// verification is the state of one verification.
type verification struct {
	input        VerifyInput
	tree         events.MerkleTree
	pendingHeads []Head          // not compared yet
	lastGoodSize events.Position // the size of the last head that matched
	firstChanged events.Position // the first record whose known leaf differs
	damaged      bool
	result       VerifyResult
}

func (w *verification) addFault(first, last events.Position, message string) {
	w.result.Faults = append(w.result.Faults, Fault{First: first, Last: last, Message: message})
}

// addRecord adds a record and compares every head of that size.
func (w *verification) addRecord(r events.Record) {
	if w.input.KnownLeaf != nil && w.firstChanged == 0 {
		if leaf, ok := w.input.KnownLeaf(r.Position); ok && leaf != events.LeafHash(r.Hash) {
			w.firstChanged = r.Position
		}
	}
	if r.Kind == events.KindTreeHeadSigned {
		w.checkRecordedHead(r)
	}
	w.tree.Append(r.Hash)
	for len(w.pendingHeads) > 0 && w.pendingHeads[0].Size <= w.tree.Size() {
		w.checkHead(w.pendingHeads[0], signedHead)
		w.pendingHeads = w.pendingHeads[1:]
	}
	if s := w.input.TrustedHead; s != nil && s.Size == w.tree.Size() {
		w.result.TrustedSize = s.Size
		w.checkHead(*s, "the trusted head")
	}
}

// checkHead compares the tree with a signed head of its size.
func (w *verification) checkHead(h Head, what string) {
	if h.Root == w.tree.Root() {
		w.lastGoodSize = h.Size
		w.result.SignedUpTo = h.Size
		if what == signedHead {
			w.result.Heads++
		}
		return
	}
	first, last := w.lastGoodSize+1, h.Size
	if w.firstChanged > 0 {
		first, last = w.firstChanged, w.firstChanged
	}
	for _, f := range w.result.Faults {
		if f.First == first {
			return // an earlier head showed this fault
		}
	}
	w.addFault(first, last, fmt.Sprintf("the log was rewritten: %s of %d events has another root", what, h.Size))
}

// signedHead describes a head of the file of heads.
const signedHead = "the signed head"

// checkRecordedHead checks a head that was recorded as a fact.
func (w *verification) checkRecordedHead(r events.Record) {
	fact, err := events.Decode(r.Event)
	if err != nil {
		w.addFault(r.Position, r.Position, err.Error())
		return
	}
	f, ok := fact.(*events.TreeHeadSigned)
	if !ok {
		return
	}
	h, err := OpenHead(w.input.Verifier, f.Note)
	switch {
	case err != nil:
		w.addFault(r.Position, r.Position, "the recorded head is invalid: "+err.Error())
	case h.Size != f.Size || h.Root.String() != f.Root || h.Size >= r.Position:
		w.addFault(r.Position, r.Position, "the recorded head differs from the signed one")
	default:
		w.checkHeadsFile(r.Position, h)
	}
}

// checkHeadsFile checks that the file of heads has a recorded head. So a truncation of
// the file is found.
func (w *verification) checkHeadsFile(at events.Position, h Head) {
	for _, known := range w.input.Heads {
		if known.Size == h.Size {
			if known.Root != h.Root {
				w.addFault(at, at, fmt.Sprintf("the head of %d events that it records differs from the one in the file of heads", h.Size))
				return
			}
			w.result.RecordedHeads++
			return
		}
	}
	w.addFault(0, 0, fmt.Sprintf("the file of heads lacks the head of %d events that event %d records", h.Size, at))
}

// checkTruncated reports heads that cover more events than the log has.
func (w *verification) checkTruncated() {
	size := w.tree.Size()
	if w.damaged {
		return // the events after the fault could not be compared
	}
	if n := len(w.pendingHeads); n > 0 {
		w.addFault(size+1, w.pendingHeads[n-1].Size, "missing: the log was truncated; a signed head covers them")
	}
	if s := w.input.TrustedHead; s != nil && s.Size > size {
		w.result.TrustedSize = s.Size
		w.addFault(size+1, s.Size, "missing: the log was truncated; the trusted head covers them")
	}
}
