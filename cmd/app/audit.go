package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cortex/cmd/auditsink"
	"cortex/cmd/client"
	"cortex/consumers/treehead"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections/audit"
)

// A daemon that was just started signs a head within moments.
const (
	headTimeout = 3 * time.Second
	headPause   = 30 * time.Millisecond
)

// syslogSocket is the socket of the machine's syslog daemon.
const syslogSocket = "/dev/log"

// auditDir returns the directory of the signed heads and their keys.
func (s *Service) auditDir() treehead.Dir { return treehead.Dir(s.Settings.AuditDir()) }

// VerifyOptions names what the log is compared with besides itself.
type VerifyOptions struct {
	SinceHead string // a file with a signed head
	Key       string // a file with the public key; "" for the key beside the heads
}

// VerifyLog reads the whole log of this machine without the daemon. Every fault is in the
// result; an error means that the log could not be verified. It needs the engine.
func (s *Service) VerifyLog(ctx context.Context, o VerifyOptions) (treehead.VerifyResult, error) {
	if !s.HasLog() {
		return treehead.VerifyResult{}, s.NoHistory()
	}
	return s.verifyState(ctx, s.Settings.StateDir, s.auditDir(), o)
}

// verifyState verifies the log of a state directory. Evidence that cannot be read is a
// fault.
func (s *Service) verifyState(ctx context.Context, state string, dir treehead.Dir, o VerifyOptions) (treehead.VerifyResult, error) {
	if s.Engine.OpenLog == nil {
		return treehead.VerifyResult{}, s.BecomeEngine()
	}
	if o.Key == "" {
		o.Key = dir.PublicKeyPath()
	}
	key, err := treehead.ReadVerifier(o.Key)
	if err != nil {
		return treehead.VerifyResult{}, err
	}
	known, closeKnown := knownLeaves(ctx, state)
	defer closeKnown()
	in := treehead.VerifyInput{Verifier: key, KnownLeaf: known}
	var faults []treehead.Fault
	if in.Heads, err = treehead.ReadHeads(dir.HeadsPath(), key); err != nil {
		if !errors.Is(err, events.ErrCorrupt) {
			return treehead.VerifyResult{}, err
		}
		faults = append(faults, treehead.Fault{Message: err.Error()})
	}
	if o.SinceHead != "" {
		h, err := treehead.ReadHeadFile(o.SinceHead, key)
		switch {
		case err == nil:
			in.TrustedHead = &h
		case errors.Is(err, events.ErrCorrupt):
			faults = append(faults, treehead.Fault{Message: o.SinceHead + ": " + err.Error()})
		default:
			return treehead.VerifyResult{}, err
		}
	}
	files, err := s.Engine.OpenLog(s.Settings, state)
	switch {
	case err == nil:
		in.Log = files.Records()
		if want := treehead.Origin(files.Host()); key.Name() != want {
			faults = append(faults, treehead.Fault{Message: fmt.Sprintf("the key belongs to %s, the log to %s", key.Name(), want)})
		}
	case errors.Is(err, events.ErrCorrupt):
		in.Log = unreadableLog(err)
	default:
		return treehead.VerifyResult{}, err
	}
	v := treehead.Verify(in)
	v.Faults = append(faults, v.Faults...)
	return v, nil
}

// unreadableLog is a log that yields nothing but err.
func unreadableLog(err error) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) { yield(events.Record{}, err) }
}

// knownLeaves returns the leaves that the audit read model has stored, which help to name
// the changed event. leaf is nil if the read model cannot be read.
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

// NewestHead returns the newest signed head. It fails with ErrNotFound if none is signed.
func (s *Service) NewestHead() (treehead.Head, error) {
	v, err := treehead.ReadVerifier(s.auditDir().PublicKeyPath())
	if err != nil {
		return treehead.Head{}, err
	}
	all, err := treehead.ReadHeads(s.auditDir().HeadsPath(), v)
	if err == nil && len(all) == 0 {
		err = &events.Error{
			Op: "app.NewestHead", Kind: events.ErrNotFound, Subject: s.auditDir().HeadsPath(),
			Err: errors.New("no head is signed yet"), Hint: "the daemon signs one when it starts: cortex daemon start",
		}
	}
	if err != nil {
		return treehead.Head{}, err
	}
	return all[len(all)-1], nil
}

// AuditKey returns the public key that heads are verified with, as text.
func (s *Service) AuditKey() (string, error) {
	path := s.auditDir().PublicKeyPath()
	if _, err := treehead.ReadVerifier(path); err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	return strings.TrimSpace(string(b)), err
}

// ProveEvent returns the proof that an event is in the log under the newest signed head.
// ref is a position or an event id.
func (s *Service) ProveEvent(ctx context.Context, ref string) (treehead.Proof, error) {
	if !s.HasLog() {
		return treehead.Proof{}, s.NoHistory()
	}
	var p events.Position
	if n, err := strconv.ParseUint(ref, 10, 63); err == nil {
		p = events.Position(n)
	} else if err := events.ID(ref).Validate(); err != nil {
		return treehead.Proof{}, &events.Error{
			Op: "app.ProveEvent", Kind: events.ErrUsage, Subject: strconv.Quote(ref),
			Err: errors.New("not a position and not an event id"), Hint: "'cortex events list' shows positions",
		}
	}
	if _, _, err := s.Connect(ctx); err != nil { // the daemon signs the newest events
		return treehead.Proof{}, err
	}
	h, path, p, err := s.proofPath(ctx, p, events.ID(ref))
	if err != nil {
		return treehead.Proof{}, err
	}
	r, err := s.EventAt(ctx, p)
	if err != nil {
		return treehead.Proof{}, err
	}
	key, err := s.AuditKey()
	return treehead.NewProof(r, h, path, key), err
}

// proofPath returns the newest head and the path to it from the event at p, or from the
// event with this id if p is 0.
func (s *Service) proofPath(ctx context.Context, p events.Position, id events.ID) (h treehead.Head, path []events.Hash, at events.Position, err error) {
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
			return noEvent("app.ProveEvent", p)
		}
		if h, err = s.coveringHead(ctx, p); err != nil {
			return err
		}
		root, err := r.Root(ctx, h.Size)
		if err != nil {
			return err
		}
		if root != h.Root {
			return &events.Error{
				Op: "app.ProveEvent", Kind: events.ErrCorrupt, Subject: "signed head",
				Err: errors.New("the log does not match it"), Hint: "run: cortex audit verify",
			}
		}
		path, err = r.Prove(ctx, p, h.Size)
		return err
	})
	return h, path, p, err
}

// coveringHead returns the newest head once it covers p.
func (s *Service) coveringHead(ctx context.Context, p events.Position) (treehead.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, headTimeout)
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
		return h, &events.Error{
			Op: "app.ProveEvent", Kind: events.ErrNotFound, Subject: fmt.Sprintf("event %d", p),
			Err: fmt.Errorf("the newest signed head covers %d events", h.Size), Hint: "the daemon signs a head when a transaction ends and when it stops",
		}
	}
}

// FollowOptions says where events are copied to.
type FollowOptions struct {
	To       string // a file, or "syslog"
	Position string // with syslog: the file that stores the position; "" for the default
	Once     bool   // return once every recorded event is copied
}

// FollowResult counts what was copied.
type FollowResult struct {
	Copied events.Position // how many events
	Last   events.Position // the last event that the copy holds
	// Interrupted reports that ctx ended the copying.
	Interrupted bool
}

// FollowAudit copies every event into a file or to syslog, and continues where an earlier
// copy stopped.
func (s *Service) FollowAudit(ctx context.Context, o FollowOptions) (FollowResult, error) {
	if !s.HasLog() && o.Once {
		return FollowResult{}, s.NoHistory()
	}
	c, _, err := s.Connect(ctx)
	if err != nil {
		return FollowResult{}, err
	}
	sink, err := s.openSink(o)
	if err != nil {
		return FollowResult{}, err
	}
	before := sink.Checkpoint().Position
	source := func(ctx context.Context, after events.Position) iter.Seq2[events.Record, error] {
		return Facts(ctx, c, client.StreamOptions{After: after, Follow: !o.Once})
	}
	err = auditsink.Run(ctx, source, sink)
	last := sink.Checkpoint().Position
	out := FollowResult{Copied: last - before, Last: last}
	if ctx.Err() != nil && !errors.Is(err, events.ErrCorrupt) {
		out.Interrupted, err = true, nil
	}
	return out, errors.Join(err, sink.Close())
}

// openSink opens the file or syslog.
func (s *Service) openSink(o FollowOptions) (auditsink.Sink, error) {
	if o.To != "syslog" {
		return auditsink.OpenFileSink(o.To)
	}
	if o.Position == "" {
		dir := s.Settings.AuditDir()
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, &events.Error{
				Op: "app.FollowAudit", Kind: events.ErrUnavailable, Subject: dir, Err: err,
				Hint: "run it as root, or name a file with --position",
			}
		}
		o.Position = filepath.Join(dir, "syslog.position")
	}
	return auditsink.OpenSyslogSink(syslogSocket, o.Position)
}
