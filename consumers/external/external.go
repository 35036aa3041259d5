// Package external takes what the hooks saw of other programs' changes into the
// history: each becomes a transaction of its own, with who, by what command, and
// what is different.
//
// It promises that an observation is recorded once, however often the daemon dies
// on the way, in the order in which they began; and that what changed between two
// of them, seen by nobody, is recorded as drift.
package external

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

	"cortex/consumers/inventory"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/recorder"
	"cortex/events"
)

// BlobReader reads stored contents; blobstore.Blobs implements it.
type BlobReader interface {
	Get(d events.Digest, secret bool) ([]byte, error)
}

// SnapshotLoader reads stored snapshots; confstate.Snapshots implements it.
type SnapshotLoader interface {
	Load(d events.Digest) (confstate.Snapshot, error)
}

// Importer reads one spool.
type Importer struct {
	spoolDir     string
	recorder     *recorder.Recorder
	sequence     *recorder.Sequence
	inventory    *inventory.Tracker
	blobs        BlobReader
	snapshots    SnapshotLoader
	takeSnapshot func(context.Context) (events.StateSnapshot, error)
	processAlive func(pid int) bool
	logger       *slog.Logger
}

// Config says where the spool is, and how to look at the machine and at processes.
type Config struct {
	SpoolDir string
	// TakeSnapshot looks at the whole machine and keeps what it sees.
	TakeSnapshot func(context.Context) (events.StateSnapshot, error)
	// ProcessAlive reports whether there is such a process.
	ProcessAlive func(pid int) bool
	Logger       *slog.Logger
}

// New returns an observer of one spool.
func New(s *recorder.Recorder, g *recorder.Sequence, l *inventory.Tracker, v BlobReader, k SnapshotLoader, cfg Config) *Importer {
	return &Importer{spoolDir: cfg.SpoolDir, recorder: s, sequence: g, inventory: l, blobs: v, snapshots: k, takeSnapshot: cfg.TakeSnapshot, processAlive: cfg.ProcessAlive, logger: cfg.Logger}
}

// InProgress reports whether a change that the hooks saw begin is still going on.
func (o *Importer) InProgress() bool {
	seen, ok := o.readOpen()
	return ok && o.processAlive(seen.Actor.PID)
}

// readOpen gives the observation that was begun and not ended.
func (o *Importer) readOpen() (seen events.Observation, ok bool) {
	b, err := os.ReadFile(filepath.Join(o.spoolDir, "open"))
	return seen, err == nil && json.Unmarshal(b, &seen) == nil
}

// completeAbandoned completes an observation whose program died: what is now is its end.
func (o *Importer) completeAbandoned(ctx context.Context) error {
	seen, ok := o.readOpen()
	if !ok || o.processAlive(seen.Actor.PID) {
		return nil
	}
	look, err := o.takeSnapshot(ctx)
	if err != nil {
		return err
	}
	seen.After, seen.Ended = look, o.recorder.Now()
	if err := o.recordObservation(ctx, seen); err != nil && !errors.Is(err, events.ErrNotFound) && !errors.Is(err, events.ErrCorrupt) {
		return err
	}
	return os.Remove(filepath.Join(o.spoolDir, "open"))
}

// Ingest records every complete observation and takes it out of the spool.
func (o *Importer) Ingest(ctx context.Context) error {
	files, err := os.ReadDir(o.spoolDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read observations: %w", err)
	}
	if err := o.completeAbandoned(ctx); err != nil {
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
		s := seen{path: filepath.Join(o.spoolDir, f.Name())}
		b, err := os.ReadFile(s.path)
		if err == nil {
			err = json.Unmarshal(b, &s.Observation)
		}
		if err == nil {
			err = s.Validate()
		}
		if err != nil {
			o.quarantine(s.path, err)
			continue
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b seen) int { return a.Started.Compare(b.Started) })
	for _, s := range list {
		err := o.recordObservation(ctx, s.Observation)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, events.ErrNotFound), errors.Is(err, events.ErrCorrupt):
			o.quarantine(s.path, err)
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

// quarantine keeps what cannot be recorded for people to look at; the difference
// becomes drift.
func (o *Importer) quarantine(path string, why error) {
	o.logger.Error("observation put aside", "file", path, "error", why)
	_ = os.Rename(path, path+".unreadable")
}

func (o *Importer) recordObservation(ctx context.Context, seen events.Observation) error {
	before, err := o.loadInventory(seen.Before.Packages)
	if err != nil {
		return err
	}
	after, err := o.loadInventory(seen.After.Packages)
	if err != nil {
		return err
	}
	fact := &events.Observed{
		Program: seen.Program, Command: seen.Command, UID: seen.Actor.UID, Started: seen.Started,
		Snapshot: seen.Before.ConfState, Debs: seen.Debs, Changes: events.DiffInventories(before, after),
	}
	if fact.Files, fact.Settings, err = o.fileChanges(seen); err != nil {
		return err
	}
	if events.EffectsOf(fact).Empty() {
		return nil
	}
	if err := o.recordDrift(ctx, before); err != nil {
		return err
	}
	txn := events.TransactionID(seen.ID)
	subject := events.TransactionSubject(txn)
	err = o.sequence.Next(ctx, func(number int) error {
		fact.Number = number
		_, err := o.recorder.Append(ctx, recorder.Cause{Actor: &seen.Actor, Transaction: txn}, subject, fact, events.Expect{Subject: subject})
		return err
	})
	if errors.Is(err, events.ErrConflict) {
		return nil // recorded by an earlier try
	}
	return err
}

// fileChanges compares the images, and leaves out what is only dpkg's bookkeeping.
func (o *Importer) fileChanges(seen events.Observation) ([]events.FileChange, []events.SettingChange, error) {
	before, err := o.snapshots.Load(seen.Before.ConfState)
	if err != nil {
		return nil, nil, err
	}
	after, err := o.snapshots.Load(seen.After.ConfState)
	if err != nil {
		return nil, nil, err
	}
	files, settings := confstate.Diff(before, after)
	return files[:min(len(files), events.MaxFilesPerEvent)], settings[:min(len(settings), events.MaxSettingsPerEvent)], nil
}

func (o *Importer) loadInventory(d events.Digest) (events.Inventory, error) {
	b, err := o.blobs.Get(d, true)
	if err != nil {
		return nil, err
	}
	var list []events.Package
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, &events.Error{Op: "external.packages", Kind: events.ErrCorrupt, Subject: string(d), Err: err}
	}
	slices.SortFunc(list, func(a, b events.Package) int { return cmp.Compare(a.PackageKey.String(), b.PackageKey.String()) })
	return events.NewInventory(list), nil
}

// recordDrift records what changed before this observation began and nobody saw. What
// the log already shows as it is afterwards is no drift: it was recorded by an
// earlier try.
func (o *Importer) recordDrift(ctx context.Context, before events.Inventory) error {
	recorded, adopted, err := o.inventory.Current(ctx)
	if err != nil || !adopted {
		return err
	}
	changes := events.DiffInventories(recorded, before)
	if len(changes) == 0 {
		return nil
	}
	_, err = o.recorder.Append(ctx, recorder.Cause{}, events.MachineSubject(o.recorder.Log.Host()), &events.DriftDetected{Changes: changes}, events.NoExpectation)
	return err
}
