// Package observer takes what the hooks saw of other programs' changes into the
// history: each becomes a transaction of its own, with who, by what command, and
// what is different.
//
// It promises that an observation is recorded once, however often the daemon dies
// on the way, in the order in which they began; and that what changed between two
// of them, seen by nobody, is recorded as drift.
package observer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cortex/consumers/keeper"
	"cortex/consumers/ledger"
	"cortex/consumers/scribe"
	"cortex/events"
)

// Vault gives contents back; see vault.Vault.
type Vault interface {
	Get(d events.Digest, secret bool) ([]byte, error)
}

// Keeper gives images back; see keeper.Keeper.
type Keeper interface {
	Load(d events.Digest) (keeper.Image, error)
}

// Observer reads one spool.
type Observer struct {
	dir      string
	scribe   *scribe.Scribe
	register *scribe.Register
	ledger   *ledger.Ledger
	vault    Vault
	keep     Keeper
	look     func(context.Context) (events.Look, error)
	alive    func(pid int) bool
	logger   *slog.Logger
}

// Config says where the spool is, and how to look at the machine and at processes.
type Config struct {
	Dir string
	// Look looks at the whole machine and keeps what it sees.
	Look func(context.Context) (events.Look, error)
	// Alive reports whether there is such a process.
	Alive  func(pid int) bool
	Logger *slog.Logger
}

// New returns an observer of one spool.
func New(s *scribe.Scribe, g *scribe.Register, l *ledger.Ledger, v Vault, k Keeper, cfg Config) *Observer {
	return &Observer{dir: cfg.Dir, scribe: s, register: g, ledger: l, vault: v, keep: k, look: cfg.Look, alive: cfg.Alive, logger: cfg.Logger}
}

// Pending reports whether a change that the hooks saw begin is still going on.
func (o *Observer) Pending() bool {
	seen, ok := o.open()
	return ok && o.alive(seen.Actor.PID)
}

// open gives the observation that was begun and not ended.
func (o *Observer) open() (seen events.Observation, ok bool) {
	b, err := os.ReadFile(filepath.Join(o.dir, "open"))
	return seen, err == nil && json.Unmarshal(b, &seen) == nil
}

// abandoned completes an observation whose program died: what is now is its end.
func (o *Observer) abandoned(ctx context.Context) error {
	seen, ok := o.open()
	if !ok || o.alive(seen.Actor.PID) {
		return nil
	}
	look, err := o.look(ctx)
	if err != nil {
		return err
	}
	seen.After, seen.Ended = look, o.scribe.Now()
	if err := o.record(ctx, seen); err != nil && !errors.Is(err, events.ErrNotFound) && !errors.Is(err, events.ErrCorrupt) {
		return err
	}
	return os.Remove(filepath.Join(o.dir, "open"))
}

// Ingest records every complete observation and takes it out of the spool.
func (o *Observer) Ingest(ctx context.Context) error {
	files, err := os.ReadDir(o.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read observations: %w", err)
	}
	if err := o.abandoned(ctx); err != nil {
		return err
	}
	type seen struct {
		events.Observation
		path string
	}
	var list []seen
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		s := seen{path: filepath.Join(o.dir, f.Name())}
		b, err := os.ReadFile(s.path)
		if err == nil {
			err = json.Unmarshal(b, &s.Observation)
		}
		if err == nil {
			err = s.Validate()
		}
		if err != nil {
			o.putAside(s.path, err)
			continue
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b seen) int { return a.Started.Compare(b.Started) })
	for _, s := range list {
		err := o.record(ctx, s.Observation)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, events.ErrNotFound), errors.Is(err, events.ErrCorrupt):
			o.putAside(s.path, err)
			continue
		case err != nil:
			return err
		}
		if err := os.Remove(s.path); err != nil {
			return fmt.Errorf("take out an observation: %w", err)
		}
	}
	return nil
}

// putAside keeps what cannot be recorded for people to look at; the difference
// becomes drift.
func (o *Observer) putAside(path string, why error) {
	o.logger.Error("observation put aside", "file", path, "error", why)
	_ = os.Rename(path, path+".unreadable")
}

func (o *Observer) record(ctx context.Context, seen events.Observation) error {
	before, err := o.packages(seen.Before.Packages)
	if err != nil {
		return err
	}
	after, err := o.packages(seen.After.Packages)
	if err != nil {
		return err
	}
	fact := &events.Observed{
		Program: seen.Program, Command: seen.Command, UID: seen.Actor.UID, Started: seen.Started,
		Image: seen.Before.Image, Debs: seen.Debs, Changes: events.Diff(before, after),
	}
	if fact.Files, fact.Settings, err = o.files(seen); err != nil {
		return err
	}
	if events.EffectsOf(fact).Empty() {
		return nil
	}
	if err := o.drift(ctx, before); err != nil {
		return err
	}
	txn := events.TransactionID(seen.ID)
	subject := events.TransactionSubject(txn)
	err = o.register.Next(ctx, func(number int) error {
		fact.Number = number
		_, err := o.scribe.Append(ctx, scribe.Cause{Actor: &seen.Actor, Transaction: txn}, subject, fact, events.Expect{Subject: subject})
		return err
	})
	if errors.Is(err, events.ErrConflict) {
		return nil // recorded by an earlier try
	}
	return err
}

// files compares the images, and leaves out what is only dpkg's bookkeeping.
func (o *Observer) files(seen events.Observation) ([]events.FileChange, []events.SettingChange, error) {
	before, err := o.keep.Load(seen.Before.Image)
	if err != nil {
		return nil, nil, err
	}
	after, err := o.keep.Load(seen.After.Image)
	if err != nil {
		return nil, nil, err
	}
	files, settings := keeper.Diff(before, after)
	return files[:min(len(files), events.MaxFilesPerEvent)], settings[:min(len(settings), events.MaxSettingsPerEvent)], nil
}

func (o *Observer) packages(d events.Digest) (events.Inventory, error) {
	b, err := o.vault.Get(d, true)
	if err != nil {
		return nil, err
	}
	var list []events.Package
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, &events.Error{Op: "observer.packages", Kind: events.ErrCorrupt, Subject: string(d), Err: err}
	}
	slices.SortFunc(list, func(a, b events.Package) int { return cmp.Compare(a.PackageKey.String(), b.PackageKey.String()) })
	return events.NewInventory(list), nil
}

// drift records what changed before this observation began and nobody saw. What
// the log already shows as it is afterwards is no drift: it was recorded by an
// earlier try.
func (o *Observer) drift(ctx context.Context, before events.Inventory) error {
	recorded, adopted, err := o.ledger.Now(ctx)
	if err != nil || !adopted {
		return err
	}
	changes := events.Diff(recorded, before)
	if len(changes) == 0 {
		return nil
	}
	_, err = o.scribe.Append(ctx, scribe.Cause{}, events.MachineSubject(o.scribe.Log.Host()), &events.Drifted{Changes: changes}, events.Anything)
	return err
}
