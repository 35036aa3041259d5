package treehead

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cortex/consumers/recorder"
	"cortex/events"
)

// Intervals, in facts.
const (
	MaxUnsignedFacts   = 64  // until a head is signed although no transaction ended
	DefaultRecordEvery = 256 // between heads that are recorded as facts

	finalSignTimeout = 2 * time.Second
)

// TreeReader reads the tree over the log's records. The read model "audit" implements
// it.
type TreeReader interface {
	// WaitFor returns when the tree holds the record at p.
	WaitFor(ctx context.Context, p events.Position) error
	// Root returns the root over the first size records; it is an ErrNotFound error
	// if the tree is smaller.
	Root(ctx context.Context, size events.Position) (events.Hash, error)
}

// Config configures a Signer.
type Config struct {
	Dir         Dir
	RecordEvery events.Position // facts between recorded heads; 0 is [DefaultRecordEvery]
	// Report receives the error that ends the signing. The log continues unsigned.
	Report func(error)
}

// Signer signs heads. Use [New].
type Signer struct {
	recorder *recorder.Recorder
	tree     TreeReader
	cfg      Config

	signer         note.Signer
	lastHead       Head            // the last one in the file
	lastRecordedAt events.Position // of the last recorded head
}

// New returns a signer; it reads and writes nothing yet.
func New(s *recorder.Recorder, t TreeReader, cfg Config) *Signer {
	if cfg.RecordEvery == 0 {
		cfg.RecordEvery = DefaultRecordEvery
	}
	return &Signer{recorder: s, tree: t, cfg: cfg}
}

// Run signs until ctx is done. An error ends the signing and is reported; the rest of
// the daemon continues.
func (a *Signer) Run(ctx context.Context) {
	if err := a.run(ctx); err != nil && ctx.Err() == nil {
		a.cfg.Report(err)
	}
}

func (a *Signer) run(ctx context.Context) error {
	if err := a.open(ctx); err != nil {
		return err
	}
	head, err := a.recorder.Log.Head(ctx)
	if err != nil {
		return err
	}
	if err := a.sign(ctx, head.Position); err != nil {
		return err
	}
	for r, err := range a.recorder.Log.Follow(ctx, events.Query{After: head.Position}) {
		if err != nil {
			return err
		}
		if !triggersSigning(r.Kind) && r.Position < a.lastHead.Size+MaxUnsignedFacts {
			continue
		}
		if err := a.sign(ctx, r.Position); err != nil {
			return err
		}
	}
	return a.signFinal(context.WithoutCancel(ctx))
}

// signFinal signs the head at shutdown, if the tree already covers it.
func (a *Signer) signFinal(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, finalSignTimeout)
	defer cancel()
	head, err := a.recorder.Log.Head(ctx)
	if err != nil {
		return err
	}
	return a.signAndStore(ctx, head.Position)
}

// open reads the key, the heads and the position of the last recorded head.
func (a *Signer) open(ctx context.Context) error {
	log := a.recorder.Log
	var err error
	if a.signer, err = LoadOrCreateKey(a.cfg.Dir, log.Host()); err != nil {
		return err
	}
	v, err := ReadVerifier(a.cfg.Dir.PublicKeyPath())
	if err != nil {
		return err
	}
	heads, err := ReadHeads(a.cfg.Dir.HeadsPath(), v)
	if err != nil {
		return err
	}
	if len(heads) > 0 {
		a.lastHead = heads[len(heads)-1]
	}
	r, ok, err := log.Last(ctx, events.KindFilter(log.Host(), events.KindTreeHeadSigned))
	if ok {
		a.lastRecordedAt = r.Position
	}
	return err
}

// triggersSigning reports whether a fact of this kind is signed at once.
func triggersSigning(k events.Kind) bool {
	switch k {
	case events.KindSucceeded, events.KindFailed, events.KindInterrupted, events.KindDenied, events.KindRefused,
		events.KindCancelled, events.KindCompensated, events.KindObserved, events.KindDriftDetected, events.KindBaselineRecorded:
		return true
	}
	return false
}

// sign signs the head over the first size records, and records it if the interval has
// passed.
func (a *Signer) sign(ctx context.Context, size events.Position) error {
	if size <= a.lastHead.Size {
		if size < a.lastHead.Size {
			return corruptLogError(fmt.Errorf("the log ends at event %d, but a head of %d events was signed", size, a.lastHead.Size))
		}
		return nil
	}
	if err := a.tree.WaitFor(ctx, size); err != nil {
		return err
	}
	if err := a.signAndStore(ctx, size); err != nil || size < a.lastRecordedAt+a.cfg.RecordEvery {
		return err
	}
	r, err := a.recorder.Append(ctx, recorder.Cause{}, events.LogSubject(a.recorder.Log.Host()), &events.TreeHeadSigned{
		Size: a.lastHead.Size, Root: a.lastHead.Root.String(), Note: a.lastHead.Note,
	}, events.NoExpectation)
	if err == nil {
		a.lastRecordedAt = r.Position
	}
	return err
}

// signAndStore signs a head and appends it to the file, if the tree holds that many
// records.
func (a *Signer) signAndStore(ctx context.Context, size events.Position) error {
	root, err := a.tree.Root(ctx, size)
	if errors.Is(err, events.ErrNotFound) || size <= a.lastHead.Size {
		return nil // the next start signs it
	}
	if err != nil {
		return err
	}
	before, err := a.tree.Root(ctx, a.lastHead.Size)
	if err != nil {
		return err
	}
	if a.lastHead.Size > 0 && before != a.lastHead.Root {
		return corruptLogError(fmt.Errorf("the first %d events differ from those that the last head was signed for", a.lastHead.Size))
	}
	h, err := SignHead(a.signer, size, root)
	if err != nil {
		return fmt.Errorf("sign the head: %w", err)
	}
	if err := appendHead(a.cfg.Dir.HeadsPath(), h); err != nil {
		return &events.Error{Op: "treehead.appendHead", Kind: events.ErrUnavailable, Subject: a.cfg.Dir.HeadsPath(), Err: err}
	}
	a.lastHead = h
	return nil
}

func corruptLogError(err error) error {
	return &events.Error{Op: "treehead.sign", Kind: events.ErrCorrupt, Subject: "log", Err: err, Hint: "run 'cortex audit verify'"}
}
