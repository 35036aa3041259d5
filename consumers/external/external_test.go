package external_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"cortex/consumers/external"
	"cortex/consumers/inventory"
	"cortex/consumers/machine/blobstore"
	"cortex/consumers/machine/confstate"
	"cortex/consumers/machine/fakeapt"
	"cortex/consumers/recorder"
	"cortex/consumers/recorder/recordertest"
	"cortex/events"
)

// bench is an importer of a spool into which a test writes observations.
type bench struct {
	t *testing.T
	*recorder.Recorder
	spool     string
	blobs     *blobstore.Blobs
	snapshots *confstate.Snapshots
	importer  *external.Importer
	alive     bool             // the program of the open observation
	present   events.Inventory // of the machine, for an observation that was cut off
}

func setup(t *testing.T) *bench {
	b := &bench{t: t, Recorder: recordertest.New(), spool: t.TempDir()}
	var err error
	if b.blobs, err = blobstore.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	b.snapshots = confstate.New(t.TempDir(), b.blobs, fakeapt.New())
	b.restart(b.Log)
	recordertest.Append(t, b.Recorder, &events.BaselineRecorded{})
	return b
}

// restart creates the importer of a new daemon over a log.
func (b *bench) restart(log events.Log) {
	b.Log = log
	b.importer = external.New(b.Recorder, recorder.NewSequence(log), inventory.New(log), b.blobs, b.snapshots, external.Config{
		SpoolDir:     b.spool,
		TakeSnapshot: func(context.Context) (events.StateSnapshot, error) { return b.state(b.present, 9), nil },
		ProcessAlive: func(int) bool { return b.alive },
		Logger:       slog.New(slog.DiscardHandler),
	})
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// with returns an inventory of packages in version 1.0.
func with(names ...events.PackageName) events.Inventory {
	inv := events.Inventory{}
	for _, n := range names {
		inv[recordertest.Key(n)] = fakeapt.Installed("1.0")
	}
	return inv
}

// state stores a state of the machine: its packages, and the size of one file.
func (b *bench) state(inv events.Inventory, size int64) events.StateSnapshot {
	b.t.Helper()
	list, err := json.Marshal(inv.Packages())
	b.must(err)
	packages, err := b.blobs.PutSecret(list)
	b.must(err)
	config, err := b.snapshots.Save(confstate.Snapshot{Files: map[string]events.FileState{"/etc/x": {Kind: events.FileRegular, Size: size}}})
	b.must(err)
	return events.StateSnapshot{Packages: packages, ConfState: config}
}

// observation is the record of a run of apt-get that began at a minute.
func (b *bench) observation(minute int, before, after events.StateSnapshot) events.Observation {
	return events.Observation{
		ID: events.ID(fmt.Sprintf("01950000-0000-7000-8000-%012x", minute)), Program: "apt-get", Command: fmt.Sprint("apt-get run ", minute),
		Actor: events.Actor{UID: 1000, Program: "apt-get", PID: 42}, Started: recordertest.Now.Add(time.Duration(minute) * time.Minute),
		Before: before, After: after,
	}
}

func (b *bench) write(name string, v any) {
	b.t.Helper()
	data, err := json.Marshal(v)
	b.must(err)
	b.must(os.WriteFile(filepath.Join(b.spool, name), data, 0o600))
}

func (b *bench) ingest() {
	b.t.Helper()
	b.must(b.importer.Ingest(b.t.Context()))
}

func (b *bench) observed() []*events.Observed {
	return recordertest.Facts[*events.Observed](b.t, b.Recorder)
}

// spooled lists the files of the spool.
func (b *bench) spooled() []string {
	b.t.Helper()
	files, err := os.ReadDir(b.spool)
	b.must(err)
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func TestExternalRecordsObservationsInOrderOfTheirStart(t *testing.T) {
	b := setup(t)
	none, one, two := b.state(with(), 1), b.state(with("aa"), 1), b.state(with("aa", "bb"), 2)
	b.write("a.json", b.observation(2, one, two)) // the order of the names is another one
	b.write("b.json", b.observation(1, none, one))
	b.write(".c.json", "half written")
	b.ingest()
	got := b.observed()
	if len(got) != 2 || got[0].Command != "apt-get run 1" || got[1].Command != "apt-get run 2" || got[0].Number != 1 || got[1].Number != 2 {
		t.Fatalf("recorded %+v", got)
	}
	if len(got[0].Files) != 0 || len(got[1].Files) != 1 || len(got[1].Changes) != 1 || got[1].Changes[0].Name != "bb" || got[1].Snapshot != one.ConfState {
		t.Errorf("recorded %+v", got[1])
	}
	txn := recordertest.Load(t, b.Recorder, events.TransactionID(b.observation(1, none, one).ID))
	if txn.State != events.StateObserved || txn.Actor.UID != 1000 {
		t.Errorf("%s by %+v", txn.State, txn.Actor)
	}
	if left := b.spooled(); !slices.Equal(left, []string{".c.json"}) {
		t.Errorf("the spool has %q", left)
	}
	if drift := recordertest.Facts[*events.DriftDetected](t, b.Recorder); len(drift) != 0 {
		t.Errorf("drift %v", drift)
	}
}

func TestExternalRecordsObservationOnce(t *testing.T) {
	b := setup(t)
	o := b.observation(1, b.state(with(), 1), b.state(with("aa"), 1))
	for range 3 { // the daemon dies before it removes the file
		b.write("a.json", o)
		b.restart(b.Log)
		b.ingest()
	}
	if got := b.observed(); len(got) != 1 {
		t.Errorf("%d facts, want 1", len(got))
	}
}

func TestExternalRecordsDriftBetweenObservations(t *testing.T) {
	b := setup(t)
	b.write("a.json", b.observation(1, b.state(with(), 1), b.state(with("aa"), 1)))
	b.write("b.json", b.observation(2, b.state(with("aa", "unseen"), 1), b.state(with("aa", "unseen", "bb"), 1)))
	b.ingest()
	drift := recordertest.Facts[*events.DriftDetected](t, b.Recorder)
	if len(drift) != 1 || len(drift[0].Changes) != 1 || drift[0].Changes[0].Name != "unseen" {
		t.Errorf("drift %v", drift)
	}
	if got := b.observed(); len(got) != 2 || len(got[1].Changes) != 1 || got[1].Changes[0].Name != "bb" {
		t.Errorf("recorded %+v", got)
	}
}

func TestExternalRecordsNoObservationWithoutEffect(t *testing.T) {
	b := setup(t)
	b.write("a.json", b.observation(1, b.state(with(), 1), b.state(with(), 1)))
	b.ingest()
	if got := b.observed(); len(got) != 0 || len(b.spooled()) != 0 {
		t.Errorf("recorded %+v, the spool has %q", got, b.spooled())
	}
}

func TestExternalSetsUnreadableObservationAside(t *testing.T) {
	b := setup(t)
	gone := b.state(with(), 1)
	gone.Packages = events.Digest(fmt.Sprintf("%064x", 7))
	invalid := b.observation(2, b.state(with(), 1), b.state(with("aa"), 1))
	invalid.ID = "x"
	b.must(os.WriteFile(filepath.Join(b.spool, "a.json"), []byte("{"), 0o600))
	b.write("b.json", b.observation(1, gone, b.state(with("aa"), 1)))
	b.write("c.json", invalid)
	b.write("d.json", b.observation(3, b.state(with(), 1), b.state(with("aa"), 1)))
	b.ingest()
	if got := b.observed(); len(got) != 1 || got[0].Command != "apt-get run 3" {
		t.Errorf("recorded %+v", got)
	}
	if left := b.spooled(); !slices.Equal(left, []string{"a.json.unreadable", "b.json.unreadable", "c.json.unreadable"}) {
		t.Errorf("the spool has %q", left)
	}
}

func TestExternalEndsObservationWhoseProgramDied(t *testing.T) {
	b := setup(t)
	open := b.observation(1, b.state(with(), 1), events.StateSnapshot{})
	b.write("open", open)
	b.alive, b.present = true, with("aa")
	b.ingest()
	if !b.importer.InProgress() || len(b.observed()) != 0 {
		t.Fatalf("in progress %v, recorded %+v", b.importer.InProgress(), b.observed())
	}
	b.alive = false
	b.ingest()
	b.ingest()
	got := b.observed()
	if len(got) != 1 || len(got[0].Changes) != 1 || got[0].Changes[0].Name != "aa" || len(got[0].Files) != 1 {
		t.Errorf("recorded %+v", got)
	}
	if b.importer.InProgress() || len(b.spooled()) != 0 {
		t.Errorf("in progress %v, the spool has %q", b.importer.InProgress(), b.spooled())
	}
}

// dead is a log that fails to append observations.
type dead struct{ events.Log }

func (l dead) Append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	if e.Kind == events.KindObserved {
		return events.Record{}, &events.Error{Op: "test", Kind: events.ErrFull}
	}
	return l.Log.Append(ctx, e, x)
}

func TestExternalKeepsObservationThatWasNotRecorded(t *testing.T) {
	b := setup(t)
	log := b.Log
	b.write("a.json", b.observation(1, b.state(with(), 1), b.state(with("aa"), 1)))
	b.restart(dead{log})
	if err := b.importer.Ingest(t.Context()); err == nil || !slices.Equal(b.spooled(), []string{"a.json"}) {
		t.Errorf("%v, the spool has %q", err, b.spooled())
	}
	b.restart(log)
	b.ingest()
	if got := b.observed(); len(got) != 1 || got[0].Number != 1 {
		t.Errorf("recorded %+v", got)
	}
}

func TestExternalWithoutSpoolRecordsNothing(t *testing.T) {
	b := setup(t)
	b.spool = filepath.Join(b.spool, "missing")
	b.restart(b.Log)
	b.ingest()
	if len(b.observed()) != 0 || b.importer.InProgress() {
		t.Error("an observation came from nowhere")
	}
}
