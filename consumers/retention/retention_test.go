package retention_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cortex/consumers/machine/blobstore"
	"cortex/consumers/machine/fakeapt"
	"cortex/consumers/recorder"
	"cortex/consumers/recorder/recordertest"
	"cortex/consumers/retention"
	"cortex/events"
)

// bench is a garbage collector whose clock is two hours ahead of the files, so that the
// grace period is over.
type bench struct {
	t *testing.T
	*recorder.Recorder
	*fakeapt.Fake
	*retention.GarbageCollector
	blobs   *blobstore.Blobs
	dir     string
	number  int
	fetched []string
	fail    map[events.PackageName]bool // fetches that fail
}

func setup(t *testing.T) *bench {
	b := &bench{t: t, Recorder: recordertest.New(), Fake: fakeapt.New(), dir: t.TempDir(), fail: map[events.PackageName]bool{}}
	b.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	var err error
	if b.blobs, err = blobstore.Open(filepath.Join(b.dir, "store")); err != nil {
		t.Fatal(err)
	}
	b.GarbageCollector = retention.New(b.Recorder, b.blobs, b)
	return b
}

func (b *bench) FetchDeb(_ context.Context, k events.PackageKey, v events.Version, keep func(string) error) error {
	b.fetched = append(b.fetched, string(k.Name)+" "+string(v))
	if b.fail[k.Name] {
		return errors.New("not found")
	}
	return keep(b.file(string(k.Name) + string(v)))
}

func (b *bench) file(content string) string {
	b.t.Helper()
	path := filepath.Join(b.dir, content)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return path
}

// put stores a content that is not a package file.
func (b *bench) put(content string) events.Digest {
	b.t.Helper()
	d, err := b.blobs.Put([]byte(content))
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

func (b *bench) putDeb(name events.PackageName, v events.Version) events.Digest {
	b.t.Helper()
	d, err := b.blobs.PutDeb(recordertest.Key(name), v, b.file(string(name)+string(v)))
	if err != nil {
		b.t.Fatal(err)
	}
	return d.Digest
}

// ran appends a transaction with a plan, and its further facts.
func (b *bench) ran(plan events.Plan, facts ...events.Fact) *events.Transaction {
	b.t.Helper()
	b.number++
	txn, _ := recordertest.Transaction(b.t, b.Recorder, &events.Requested{Number: b.number, Intent: events.Intent{Verb: events.VerbUpgrade}},
		&events.Planned{PlanID: plan.ID(), Plan: plan}, &events.Approved{PlanID: plan.ID()}, &events.Started{PlanID: plan.ID()})
	recordertest.Continue(b.t, b.Recorder, txn, facts...)
	return txn
}

// collect collects and lists which of the named contents are left.
func (b *bench) collect(forget time.Time, contents map[string]events.Digest) (left []string, fact *events.GarbageCollected) {
	b.t.Helper()
	fact, err := b.Collect(b.t.Context(), forget)
	if err != nil {
		b.t.Fatal(err)
	}
	for name, d := range contents {
		if b.blobs.Has(d, false) || b.blobs.Has(d, true) {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	return left, fact
}

func regular(d events.Digest) events.FileState {
	return events.FileState{Kind: events.FileRegular, Digest: d}
}

func TestRetentionKeepsWhatAnUndoableTransactionNeeds(t *testing.T) {
	b := setup(t)
	secret, err := b.blobs.PutSecret([]byte("password"))
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string]events.Digest{
		"garbage": b.put("garbage"), "file before": b.put("before"), "file after": b.put("after"), "secret": secret,
		"old version": b.putDeb("toy-app", "1.0"), "new version": b.putDeb("toy-app", "2.0"), "other version": b.putDeb("toy-app", "3.0"),
		"installed": b.putDeb("sl", "1.0"),
	}
	b.SetState("sl", fakeapt.Installed("1.0"))
	done := b.ran(events.Plan{}, &events.Succeeded{
		Changes:  []events.PackageChange{{PackageKey: recordertest.Key("toy-app"), Before: fakeapt.Installed("1.0"), After: fakeapt.Installed("2.0")}},
		Files:    []events.FileChange{{Path: "/etc/x", Before: regular(contents["file before"]), After: regular(contents["file after"])}},
		Settings: []events.SettingChange{{Kind: events.SettingDebconf, Name: "x", Before: events.SecretValuePrefix + string(secret)}},
	})
	left, fact := b.collect(time.Time{}, contents)
	want := []string{"file after", "file before", "installed", "new version", "old version", "secret"}
	if diff := cmp.Diff(want, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if fact.ContentsRemoved != 2 || fact.BytesFreed == 0 || len(fact.NoLongerUndoable) != 0 {
		t.Errorf("%+v", fact)
	}
	if _, fact = b.collect(time.Time{}, contents); fact.ContentsRemoved != 0 || len(recordertest.Facts[*events.GarbageCollected](t, b.Recorder)) != 1 {
		t.Errorf("a run that removed nothing was recorded: %+v", fact)
	}

	left, fact = b.collect(b.Now().Add(time.Hour), contents)
	if diff := cmp.Diff([]string{"installed"}, left); diff != "" || !slices.Equal(fact.NoLongerUndoable, []events.TransactionID{done.ID}) {
		t.Errorf("forgotten %v, left (-want +got):\n%s", fact.NoLongerUndoable, diff)
	}
}

func TestRetentionKeepsWhatARunningTransactionNames(t *testing.T) {
	b := setup(t)
	contents := map[string]events.Digest{
		"snapshot": b.put("snapshot"), "deb of the snapshot": b.putDeb("toy-app", "1.0"), "deb of the plan": b.putDeb("toy-lib", "1.0"),
		"restored file": b.put("restored"), "replaced file": b.put("replaced"), "garbage": b.put("garbage"),
	}
	b.ran(events.Plan{Steps: []events.Step{
		{Op: events.OpInstall, Targets: []events.Target{{PackageRef: events.PackageRef{Name: "toy-lib"}, Deb: contents["deb of the plan"]}}},
		{Op: events.OpRestore, Files: []events.FileChange{{Path: "/etc/x", Before: regular(contents["replaced file"]), After: regular(contents["restored file"])}}},
	}}, &events.StepStarted{}, &events.SnapshotTaken{Snapshot: contents["snapshot"], Debs: []events.Deb{{Digest: contents["deb of the snapshot"]}}})
	left, fact := b.collect(b.Now().Add(time.Hour), contents)
	if slices.Contains(left, "garbage") || len(left) != len(contents)-1 || len(fact.NoLongerUndoable) != 0 {
		t.Errorf("left %q, %+v", left, fact)
	}
}

func TestRetentionDropsWhatOnlyAnUndoneTransactionNeeds(t *testing.T) {
	b := setup(t)
	file := map[string]events.Digest{"file": b.put("file")}
	done := b.ran(events.Plan{}, &events.Succeeded{Files: []events.FileChange{{Path: "/etc/x", Before: regular(file["file"])}}})
	if left, _ := b.collect(time.Time{}, file); len(left) != 1 {
		t.Fatalf("left %q", left)
	}
	recordertest.Continue(t, b.Recorder, done, &events.Compensated{By: done.ID, Exact: true})
	if left, fact := b.collect(time.Time{}, file); len(left) != 0 || len(fact.NoLongerUndoable) != 0 {
		t.Errorf("left %q, %+v", left, fact)
	}
}

func TestRetentionKeepsNewContents(t *testing.T) {
	b := setup(t)
	b.Now = func() time.Time { return time.Now().Add(59 * time.Minute) }
	if left, _ := b.collect(time.Time{}, map[string]events.Digest{"new": b.put("new")}); len(left) != 1 {
		t.Error("a content within the grace period was removed")
	}
}

func TestRetentionRemovesNothingWhenTheMachineCannotBeRead(t *testing.T) {
	b := setup(t)
	d := b.putDeb("sl", "1.0")
	b.GarbageCollector = retention.New(b.Recorder, b.blobs, unreadable{b})
	if _, err := b.Collect(t.Context(), time.Time{}); err == nil || !b.blobs.Has(d, false) {
		t.Errorf("%v; the content is there: %v", err, b.blobs.Has(d, false))
	}
}

// unreadable is a machine whose packages cannot be read.
type unreadable struct{ *bench }

func (unreadable) Inventory(context.Context) (events.Inventory, error) {
	return nil, errors.New("dpkg-query failed")
}

func TestRetentionPrefetch(t *testing.T) {
	for name, tc := range map[string]struct {
		budget  int64
		fail    events.PackageName
		paceErr error
		want    []string
		reports []string
	}{
		"everything missing and offered": {1 << 20, "", nil, []string{"cowsay 1.0", "toy-lib 2.0"}, []string{"cowsay <nil> 1", "toy-lib <nil> 0"}},
		"up to the budget":               {6, "", nil, []string{"cowsay 1.0"}, []string{"cowsay <nil> 1"}},
		"not without budget":             {0, "", nil, nil, nil},
		"past a failure":                 {1 << 20, "cowsay", nil, []string{"cowsay 1.0", "toy-lib 2.0"}, []string{"cowsay not found 1", "toy-lib <nil> 0"}},
		"not when paused":                {1 << 20, "", context.Canceled, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.putDeb("sl", "1.0")
			b.SetState("sl", fakeapt.Installed("1.0"))      // stored already
			b.SetState("toy-app", fakeapt.Installed("0.5")) // not offered
			b.SetState("cowsay", fakeapt.Installed("1.0"))
			b.SetState("toy-lib", fakeapt.Installed("2.0"))
			b.fail[tc.fail] = true
			var reports []string
			err := b.PrefetchDebs(t.Context(), tc.budget, func(context.Context) error { return tc.paceErr }, func(a retention.FetchAttempt) {
				reports = append(reports, fmt.Sprint(a.Name, " ", a.Err, " ", a.Remaining))
			})
			if !errors.Is(err, tc.paceErr) {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(tc.want, b.fetched); diff != "" {
				t.Errorf("fetched (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.reports, reports); diff != "" {
				t.Errorf("reports (-want +got):\n%s", diff)
			}
		})
	}
}
