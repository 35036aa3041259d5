package treehead

import (
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/note"

	"cortex/events"
)

// VerifyInput is what a log is verified against. Log and Verifier are required.
type VerifyInput struct {
	// Log gives the records as they lie in the store, from the first, each of
	// them true by itself, up to the end or to an error.
	Log iter.Seq2[events.Record, error]
	// Verifier is the public key of the log's heads.
	Verifier note.Verifier
	// HeadsPath are the heads that were kept, the oldest first.
	Heads []Head
	// TrustedHead is a head that was carried elsewhere; nil for none.
	TrustedHead *Head
	// KnownLeaf is what a record's leaf of the tree was when it was appended, as far
	// as somebody still knows; nil when nobody does. It only helps to say which
	// record was changed.
	KnownLeaf func(events.Position) (events.Hash, bool)
}

// Fault is one thing that is wrong, and where: between two positions, which are
// equal when the very record is known, and 0 when it is nowhere in the log.
type Fault struct {
	First   events.Position `json:"first,omitempty"`
	Last    events.Position `json:"last,omitempty"`
	Message string          `json:"message"`
}

// String tells it in one line.
func (f Fault) String() string {
	switch {
	case f.First == 0 && f.Last == 0:
		return f.Message
	case f.First == f.Last:
		return fmt.Sprintf("event %d: %s", f.First, f.Message)
	}
	return fmt.Sprintf("events %d to %d: %s", f.First, f.Last, f.Message)
}

// VerifyResult is what verifying found.
type VerifyResult struct {
	Events        events.Position `json:"events"`          // that were read and are as they follow each other
	Root          string          `json:"root"`            // of the tree over them
	Heads         int             `json:"heads"`           // signed heads that hold
	RecordedHeads int             `json:"recorded_heads"`  // heads in the log that hold
	SignedUpTo    events.Position `json:"signed"`          // up to here a head holds
	TrustedSize   events.Position `json:"since,omitempty"` // the size of the head that was carried elsewhere
	Faults        []Fault         `json:"faults"`
}

// OK reports whether nothing was found.
func (v VerifyResult) OK() bool { return len(v.Faults) == 0 }

// Verify reads the whole log and compares it with the evidence. It never stops at
// a fault that leaves something to compare.
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
	lastGoodSize events.Position // the last size at which a head held
	firstChanged events.Position // the first record that is not what somebody knows it was
	recordedSize events.Position // size of the newest head that became a fact
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
		w.checkHead(w.pendingHeads[0], "the head")
		w.pendingHeads = w.pendingHeads[1:]
	}
	if s := w.input.TrustedHead; s != nil && s.Size == w.tree.Size() {
		w.result.TrustedSize = s.Size
		w.checkHead(*s, "the head that was given")
	}
}

// checkHead holds the tree against a signed head of its size.
func (w *verification) checkHead(h Head, what string) {
	if h.Root == w.tree.Root() {
		w.lastGoodSize = h.Size
		w.result.SignedUpTo = h.Size
		if what == "the head" {
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
			return // told already by an earlier head
		}
	}
	w.addFault(first, last, fmt.Sprintf("not what was signed: the log was rewritten, %s of %d events has another root", what, h.Size))
}

// checkRecordedHead checks a head that became a fact against the tree before it.
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
		w.addFault(r.Position, r.Position, "the recorded head does not hold: "+err.Error())
	case h.Size != f.Size || h.Root.String() != f.Root || h.Size >= r.Position:
		w.addFault(r.Position, r.Position, "the recorded head is not the one that was signed")
	default:
		w.recordedSize = h.Size
		w.checkHeadsFile(r.Position, h)
	}
}

// checkHeadsFile checks that the file of heads holds a head that became a fact, so that its
// end cannot be cut off unnoticed.
func (w *verification) checkHeadsFile(at events.Position, h Head) {
	for _, known := range w.input.Heads {
		if known.Size == h.Size {
			if known.Root != h.Root {
				w.addFault(at, at, fmt.Sprintf("it records another head of %d events than the file of heads", h.Size))
				return
			}
			w.result.RecordedHeads++
			return
		}
	}
	w.addFault(0, 0, fmt.Sprintf("the file of heads lacks the head of %d events that event %d records", h.Size, at))
}

// checkTruncated looks at the heads that the log is too short for.
func (w *verification) checkTruncated() {
	size := w.tree.Size()
	if w.damaged {
		return // what is behind the fault could not be compared
	}
	if n := len(w.pendingHeads); n > 0 {
		w.addFault(size+1, w.pendingHeads[n-1].Size, "missing: the log was cut off, they were signed")
	}
	if s := w.input.TrustedHead; s != nil && s.Size > size {
		w.result.TrustedSize = s.Size
		w.addFault(size+1, s.Size, "missing: the log was cut off, the head that was given covers them")
	}
}
