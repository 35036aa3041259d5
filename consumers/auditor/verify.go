package auditor

import (
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/note"

	"cortex/events"
)

// Evidence is what a log is verified against. Log and Verifier are required.
type Evidence struct {
	// Log gives the records as they lie in the store, from the first, each of
	// them true by itself, up to the end or to an error.
	Log iter.Seq2[events.Record, error]
	// Verifier is the public key of the log's heads.
	Verifier note.Verifier
	// Heads are the heads that were kept, the oldest first.
	Heads []Head
	// Since is a head that was carried elsewhere; nil for none.
	Since *Head
	// Leaf is what a record's leaf of the tree was when it was appended, as far
	// as somebody still knows; nil when nobody does. It only helps to say which
	// record was changed.
	Leaf func(events.Position) (events.Hash, bool)
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

// Verdict is what verifying found.
type Verdict struct {
	Events events.Position `json:"events"`          // that were read and are as they follow each other
	Root   string          `json:"root"`            // of the tree over them
	Heads  int             `json:"heads"`           // signed heads that hold
	Facts  int             `json:"recorded_heads"`  // heads in the log that hold
	Signed events.Position `json:"signed"`          // up to here a head holds
	Since  events.Position `json:"since,omitempty"` // the size of the head that was carried elsewhere
	Faults []Fault         `json:"faults"`
}

// OK reports whether nothing was found.
func (v Verdict) OK() bool { return len(v.Faults) == 0 }

// Verify reads the whole log and compares it with the evidence. It never stops at
// a fault that leaves something to compare.
func Verify(e Evidence) Verdict {
	w := walk{e: e, due: e.Heads, verdict: Verdict{Faults: []Fault{}}}
	w.due = append([]Head(nil), e.Heads...)
	var prev events.Link
	for r, err := range e.Log {
		if err == nil {
			err = r.Verify(prev)
		}
		if err != nil {
			w.fault(prev.Position+1, prev.Position+1, err.Error())
			w.damaged = true
			break
		}
		prev = r.Link()
		w.record(r)
	}
	w.end()
	w.verdict.Events, w.verdict.Root = w.tree.Size(), w.tree.Root().String()
	return w.verdict
}

// walk is the state of one verification.
type walk struct {
	e       Evidence
	tree    events.Tree
	due     []Head          // not compared yet
	good    events.Position // the last size at which a head held
	changed events.Position // the first record that is not what somebody knows it was
	facts   events.Position // size of the newest head that became a fact
	damaged bool
	verdict Verdict
}

func (w *walk) fault(first, last events.Position, message string) {
	w.verdict.Faults = append(w.verdict.Faults, Fault{First: first, Last: last, Message: message})
}

// record adds a record and compares every head of that size.
func (w *walk) record(r events.Record) {
	if w.e.Leaf != nil && w.changed == 0 {
		if leaf, ok := w.e.Leaf(r.Position); ok && leaf != events.Leaf(r.Hash) {
			w.changed = r.Position
		}
	}
	if r.Kind == events.KindAuditHead {
		w.recorded(r)
	}
	w.tree.Append(r.Hash)
	for len(w.due) > 0 && w.due[0].Size <= w.tree.Size() {
		w.compare(w.due[0], "the head")
		w.due = w.due[1:]
	}
	if s := w.e.Since; s != nil && s.Size == w.tree.Size() {
		w.verdict.Since = s.Size
		w.compare(*s, "the head that was given")
	}
}

// compare holds the tree against a signed head of its size.
func (w *walk) compare(h Head, what string) {
	if h.Root == w.tree.Root() {
		w.good = h.Size
		w.verdict.Signed = h.Size
		if what == "the head" {
			w.verdict.Heads++
		}
		return
	}
	first, last := w.good+1, h.Size
	if w.changed > 0 {
		first, last = w.changed, w.changed
	}
	for _, f := range w.verdict.Faults {
		if f.First == first {
			return // told already by an earlier head
		}
	}
	w.fault(first, last, fmt.Sprintf("not what was signed: the log was rewritten, %s of %d events has another root", what, h.Size))
}

// recorded checks a head that became a fact against the tree before it.
func (w *walk) recorded(r events.Record) {
	fact, err := events.Decode(r.Event)
	if err != nil {
		w.fault(r.Position, r.Position, err.Error())
		return
	}
	f, _ := fact.(*events.AuditHead)
	h, err := OpenHead(w.e.Verifier, f.Note)
	switch {
	case err != nil:
		w.fault(r.Position, r.Position, "the recorded head does not hold: "+err.Error())
	case h.Size != f.Size || h.Root.String() != f.Root || h.Size >= r.Position:
		w.fault(r.Position, r.Position, "the recorded head is not the one that was signed")
	default:
		w.facts = h.Size
		w.kept(r.Position, h)
	}
}

// kept checks that the file of heads holds a head that became a fact, so that its
// end cannot be cut off unnoticed.
func (w *walk) kept(at events.Position, h Head) {
	for _, known := range w.e.Heads {
		if known.Size == h.Size {
			if known.Root != h.Root {
				w.fault(at, at, fmt.Sprintf("it records another head of %d events than the file of heads", h.Size))
				return
			}
			w.verdict.Facts++
			return
		}
	}
	w.fault(0, 0, fmt.Sprintf("the file of heads lacks the head of %d events that event %d records", h.Size, at))
}

// end looks at the heads that the log is too short for.
func (w *walk) end() {
	size := w.tree.Size()
	if w.damaged {
		return // what is behind the fault could not be compared
	}
	if n := len(w.due); n > 0 {
		w.fault(size+1, w.due[n-1].Size, "missing: the log was cut off, they were signed")
	}
	if s := w.e.Since; s != nil && s.Size > size {
		w.verdict.Since = s.Size
		w.fault(size+1, s.Size, "missing: the log was cut off, the head that was given covers them")
	}
}
