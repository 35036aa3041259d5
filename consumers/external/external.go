// Package external records changes that were made outside Cortex. The hooks of apt and
// dpkg write observations to a spool; each becomes a transaction of its own, with the
// user, the command and the difference.
//
// It promises:
//
//   - An observation is recorded once, even if the daemon dies in between.
//   - Observations are recorded in the order in which they began.
//   - A change between two observations is recorded as drift.
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

// Importer records the observations of one spool.
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

// Config holds the spool's directory, and functions for the machine and its processes.
type Config struct {
	SpoolDir string
	// TakeSnapshot stores a snapshot of the packages and the configuration.
	TakeSnapshot func(context.Context) (events.StateSnapshot, error)
	// ProcessAlive reports whether a process exists.
	ProcessAlive func(pid int) bool
	Logger       *slog.Logger
}

// New returns an importer of one spool.
func New(s *recorder.Recorder, g *recorder.Sequence, l *inventory.Tracker, v BlobReader, k SnapshotLoader, cfg Config) *Importer {
	return &Importer{spoolDir: cfg.SpoolDir, recorder: s, sequence: g, inventory: l, blobs: v, snapshots: k, takeSnapshot: cfg.TakeSnapshot, processAlive: cfg.ProcessAlive, logger: cfg.Logger}
}

// InProgress reports whether a change that a hook saw begin is still in progress.
func (o *Importer) InProgress() bool {
	seen, ok := o.readOpen()
	return ok && o.processAlive(seen.Actor.PID)
}

// readOpen returns the observation that has begun and not ended.
func (o *Importer) readOpen() (seen events.Observation, ok bool) {
	b, err := os.ReadFile(filepath.Join(o.spoolDir, "open"))
	return seen, err == nil && json.Unmarshal(b, &seen) == nil
}

// completeAbandoned ends an observation whose program died, with the present state of
// the machine.
func (o *Importer) completeAbandoned(ctx context.Context) error {
	seen, ok := o.readOpen()
	if !ok || o.processAlive(seen.Actor.PID) {
		return nil
	}
	after, err := o.takeSnapshot(ctx)
	if err != nil {
		return err
	}
	seen.After, seen.Ended = after, o.recorder.Now()
	if err := o.recordObservation(ctx, seen); err != nil && !errors.Is(err, events.ErrNotFound) && !errors.Is(err, events.ErrCorrupt) {
		return err
	}
	return os.Remove(filepath.Join(o.spoolDir, "open"))
}

// Ingest records every complete observation and removes it from the spool.
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
			return fmt.Errorf("remove a recorded observation: %w", err)
		}
	}
	return nil
}

// quarantine renames an observation that cannot be recorded. Its changes are recorded
// as drift.
func (o *Importer) quarantine(path string, why error) {
	o.logger.Error("observation cannot be recorded", "file", path, "error", why)
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
		return nil // an earlier attempt recorded it
	}
	return err
}

// fileChanges compares the two snapshots of an observation.
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
		return nil, &events.Error{Op: "external.loadInventory", Kind: events.ErrCorrupt, Subject: string(d), Err: err}
	}
	slices.SortFunc(list, func(a, b events.Package) int { return cmp.Compare(a.PackageKey.String(), b.PackageKey.String()) })
	return events.NewInventory(list), nil
}

// recordDrift records the changes from before an observation that no observation
// covers.
func (o *Importer) recordDrift(ctx context.Context, before events.Inventory) error {
	recorded, hasBaseline, err := o.inventory.Current(ctx)
	if err != nil || !hasBaseline {
		return err
	}
	changes := events.DiffInventories(recorded, before)
	if len(changes) == 0 {
		return nil
	}
	_, err = o.recorder.Append(ctx, recorder.Cause{}, events.MachineSubject(o.recorder.Log.Host()), &events.DriftDetected{Changes: changes}, events.NoExpectation)
	return err
}
