package app

import (
	"context"
	"cortex/consumers/treehead"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections/audit"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"time"
)

func (s *Service) AuditDir() treehead.Dir { return treehead.Dir(s.Settings.AuditDir()) }

// VerifyOptions say what is verified against.
type VerifyOptions struct {
	SinceHead string // a file with a head
	Key       string // a file with a public key; "" for the one beside the heads
}

// VerifyState verifies the store in a state directory. What cannot be read as
// evidence is a fault too; an error means that verifying was not possible.
func (s *Service) VerifyState(ctx context.Context, state string, p treehead.Dir, o VerifyOptions) (treehead.VerifyResult, error) {
	if s.Engine.OpenLog == nil {
		return treehead.VerifyResult{}, s.BecomeEngine()
	}
	if o.Key == "" {
		o.Key = p.PublicKeyPath()
	}
	key, err := treehead.ReadVerifier(o.Key)
	if err != nil {
		return treehead.VerifyResult{}, err
	}
	known, closeKnown := knownLeaves(ctx, state)
	defer closeKnown()
	e := treehead.VerifyInput{Verifier: key, KnownLeaf: known}
	var faults []treehead.Fault
	if e.Heads, err = treehead.ReadHeads(p.HeadsPath(), key); err != nil {
		if !errors.Is(err, events.ErrCorrupt) {
			return treehead.VerifyResult{}, err
		}
		faults = append(faults, treehead.Fault{Message: err.Error()})
	}
	if o.SinceHead != "" {
		h, err := treehead.ReadHeadFile(o.SinceHead, key)
		switch {
		case err == nil:
			e.TrustedHead = &h
		case errors.Is(err, events.ErrCorrupt):
			faults = append(faults, treehead.Fault{Message: o.SinceHead + ": " + err.Error()})
		default:
			return treehead.VerifyResult{}, err
		}
	}
	files, err := s.Engine.OpenLog(s.Settings, state)
	switch {
	case err == nil:
		e.Log = files.Records()
		if want := treehead.Origin(files.Host()); key.Name() != want {
			faults = append(faults, treehead.Fault{Message: fmt.Sprintf("the key is of %s, the log of %s", key.Name(), want)})
		}
	case errors.Is(err, events.ErrCorrupt):
		e.Log = noRecords(err)
	default:
		return treehead.VerifyResult{}, err
	}
	v := treehead.Verify(e)
	v.Faults = append(faults, v.Faults...)
	return v, nil
}

// noRecords is a log that cannot be read at all.
func noRecords(err error) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) { yield(events.Record{}, err) }
}

func (s *Service) NewestHead() (treehead.Head, error) {
	v, err := treehead.ReadVerifier(s.AuditDir().PublicKeyPath())
	if err != nil {
		return treehead.Head{}, err
	}
	all, err := treehead.ReadHeads(s.AuditDir().HeadsPath(), v)
	if err == nil && len(all) == 0 {
		err = &events.Error{Op: "cli.audit", Kind: events.ErrNotFound, Subject: s.AuditDir().HeadsPath(), Err: errors.New("no head was signed yet"), Hint: "'cortex daemon start' signs one"}
	}
	if err != nil {
		return treehead.Head{}, err
	}
	return all[len(all)-1], nil
}

// knownLeaves gives what the read model of the tree knows, which helps to say
// which event was changed.
func knownLeaves(ctx context.Context, state string) (leaf func(events.Position) (events.Hash, bool), done func()) {
	db, err := sqlite.OpenReader(ctx, filepath.Join(state, "read", audit.Name+".db"), 1)
	if err != nil {
		return nil, func() {}
	}
	r := audit.NewReader(db)
	leaf = func(p events.Position) (events.Hash, bool) {
		h, err := r.Leaf(ctx, p)
		return h, err == nil
	}
	return leaf, func() { _ = db.Close() } // it only read
}

// ProofPath gives the newest head and the way to it from the event at p, or, when
// p is 0, from the event with that id.
func (s *Service) ProofPath(ctx context.Context, p events.Position, id events.ID) (h treehead.Head, path []events.Hash, at events.Position, err error) {
	err = s.ReadModel(ctx, audit.Name, func(db *sql.DB) error {
		r := audit.NewReader(db)
		if p == 0 {
			if p, err = r.Find(ctx, id); err != nil {
				return err
			}
		}
		size, err := r.Size(ctx)
		if err != nil {
			return err
		}
		if p > size {
			return &events.Error{Op: "cli.audit", Kind: events.ErrNotFound, Subject: fmt.Sprintf("event %d", p), Hint: "see 'cortex events list'"}
		}
		if h, err = s.coveringHead(ctx, p); err != nil {
			return err
		}
		root, err := r.Root(ctx, h.Size)
		if err != nil {
			return err
		}
		if root != h.Root {
			return &events.Error{Op: "cli.audit", Kind: events.ErrCorrupt, Subject: "signed head", Err: errors.New("the tree over the log is not the one that was signed"), Hint: "run 'cortex audit verify'"}
		}
		path, err = r.Prove(ctx, p, h.Size)
		return err
	})
	return h, path, p, err
}

// coveringHead gives the newest head once it covers p.
func (s *Service) coveringHead(ctx context.Context, p events.Position) (treehead.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, headPatience)
	defer cancel()
	for {
		h, err := s.NewestHead()
		if err == nil && h.Size >= p {
			return h, nil
		}
		select {
		case <-time.After(headPause):
			continue
		case <-ctx.Done():
		}
		if err != nil {
			return h, err
		}
		return h, &events.Error{Op: "cli.audit", Kind: events.ErrNotFound, Subject: fmt.Sprintf("event %d", p), Err: fmt.Errorf("the newest signed head covers %d events", h.Size), Hint: "one is signed when a transaction ends, and when the daemon stops"}
	}
}

// A daemon that was just started signs within moments.
const (
	headPatience = 3 * time.Second
	headPause    = 30 * time.Millisecond
)
