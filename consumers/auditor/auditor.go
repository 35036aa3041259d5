package auditor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cortex/consumers/scribe"
	"cortex/events"
)

// When a head is signed although no transaction has ended, and how often one
// becomes a fact.
const (
	EveryFacts    = 64
	DefaultRecord = 256

	lastWordTimeout = 2 * time.Second
)

// Tree gives roots of the tree over the log's records.
type Tree interface {
	// WaitFor returns once the tree holds the record at p.
	WaitFor(ctx context.Context, p events.Position) error
	// Root is the root over the first size records.
	Root(ctx context.Context, size events.Position) (events.Hash, error)
}

// Config says where heads are kept.
type Config struct {
	Places Places
	Record events.Position // facts between heads that become facts; 0 means [DefaultRecord]
	// Report is told that something is wrong; the log goes on unsigned.
	Report func(error)
}

// Auditor signs heads. Use [New].
type Auditor struct {
	scribe *scribe.Scribe
	tree   Tree
	cfg    Config

	signer   note.Signer
	last     Head            // the last that was kept
	recorded events.Position // where the last one became a fact
}

// New returns an auditor; it touches nothing yet.
func New(s *scribe.Scribe, t Tree, cfg Config) *Auditor {
	if cfg.Record == 0 {
		cfg.Record = DefaultRecord
	}
	return &Auditor{scribe: s, tree: t, cfg: cfg}
}

// Run signs until ctx is done. What keeps it from signing is reported, and ends
// it; everything else in the daemon goes on.
func (a *Auditor) Run(ctx context.Context) {
	if err := a.run(ctx); err != nil && ctx.Err() == nil {
		a.cfg.Report(err)
	}
}

func (a *Auditor) run(ctx context.Context) error {
	if err := a.open(ctx); err != nil {
		return err
	}
	head, err := a.scribe.Log.Head(ctx)
	if err != nil {
		return err
	}
	if err := a.sign(ctx, head.Position); err != nil {
		return err
	}
	for r, err := range a.scribe.Log.Follow(ctx, events.Query{After: head.Position}) {
		if err != nil {
			return err
		}
		if !ends(r.Kind) && r.Position < a.last.Size+EveryFacts {
			continue
		}
		if err := a.sign(ctx, r.Position); err != nil {
			return err
		}
	}
	return a.lastWord(context.WithoutCancel(ctx))
}

// lastWord signs what is there when the daemon leaves, as far as the tree is.
func (a *Auditor) lastWord(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lastWordTimeout)
	defer cancel()
	head, err := a.scribe.Log.Head(ctx)
	if err != nil {
		return err
	}
	return a.keep(ctx, head.Position)
}

// open reads key and heads, and where the last head became a fact.
func (a *Auditor) open(ctx context.Context) error {
	log := a.scribe.Log
	var err error
	if a.signer, err = OpenKey(a.cfg.Places, log.Host()); err != nil {
		return err
	}
	v, err := ReadVerifier(a.cfg.Places.PublicKey())
	if err != nil {
		return err
	}
	heads, err := ReadHeads(a.cfg.Places.Heads(), v)
	if err != nil {
		return err
	}
	if len(heads) > 0 {
		a.last = heads[len(heads)-1]
	}
	r, ok, err := log.Last(ctx, events.KindFilter(log.Host(), events.KindAuditHead))
	if ok {
		a.recorded = r.Position
	}
	return err
}

// ends reports whether this kind of fact ends something that people will ask for.
func ends(k events.Kind) bool {
	switch k {
	case events.KindSucceeded, events.KindFailed, events.KindInterrupted, events.KindDenied, events.KindRefused,
		events.KindCancelled, events.KindCompensated, events.KindObserved, events.KindDrifted, events.KindAdopted:
		return true
	}
	return false
}

// sign keeps a head over the first size records, and makes it a fact when it is
// time to.
func (a *Auditor) sign(ctx context.Context, size events.Position) error {
	if size <= a.last.Size {
		if size < a.last.Size {
			return broken(fmt.Errorf("the log ends at event %d, but a head of %d events was signed", size, a.last.Size))
		}
		return nil
	}
	if err := a.tree.WaitFor(ctx, size); err != nil {
		return err
	}
	if err := a.keep(ctx, size); err != nil || size < a.recorded+a.cfg.Record {
		return err
	}
	r, err := a.scribe.Append(ctx, scribe.Cause{}, events.LogSubject(a.scribe.Log.Host()), &events.AuditHead{
		Size: a.last.Size, Root: a.last.Root.String(), Note: a.last.Note,
	}, events.Anything)
	if err == nil {
		a.recorded = r.Position
	}
	return err
}

// keep signs a head and writes it down, when the tree holds so many records.
func (a *Auditor) keep(ctx context.Context, size events.Position) error {
	root, err := a.tree.Root(ctx, size)
	if errors.Is(err, events.ErrNotFound) || size <= a.last.Size {
		return nil // the next start signs it
	}
	if err != nil {
		return err
	}
	before, err := a.tree.Root(ctx, a.last.Size)
	if err != nil {
		return err
	}
	if a.last.Size > 0 && before != a.last.Root {
		return broken(fmt.Errorf("the first %d events are not those over which the last head was signed", a.last.Size))
	}
	h, err := Sign(a.signer, size, root)
	if err != nil {
		return fmt.Errorf("sign the head: %w", err)
	}
	if err := keep(a.cfg.Places.Heads(), h); err != nil {
		return &events.Error{Op: "auditor.keep", Kind: events.ErrUnavailable, Subject: a.cfg.Places.Heads(), Err: err}
	}
	a.last = h
	return nil
}

func broken(err error) error {
	return &events.Error{Op: "auditor.sign", Kind: events.ErrCorrupt, Subject: "log", Err: err, Hint: "run 'cortex audit verify'"}
}
