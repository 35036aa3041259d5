package hwsnapshot_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cortex/consumers/hwsnapshot"
	"cortex/consumers/recorder"
	"cortex/events"
	"cortex/events/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = events.HostID("01940000-0000-7000-8000-000000000001")

// bench is a snapshotter over a machine with a few facts.
type bench struct {
	t       *testing.T
	log     *memlog.Log
	n       int
	threads int64
	free    int64
	boot    string
	err     error
	*hwsnapshot.Snapshotter
}

func setup(t *testing.T) *bench {
	b := &bench{t: t, log: memlog.New(host), threads: 4, boot: "first"}
	b.restart(b.log)
	return b
}

// restart creates the snapshotter of a new daemon over a log.
func (b *bench) restart(log events.Log) {
	s := &recorder.Recorder{Log: log, Now: func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }, NewID: b.id, Actor: events.Actor{Program: "cortexd"}}
	b.Snapshotter = hwsnapshot.New(s, func(_ context.Context, why events.HardwareSnapshotReason) (*events.HardwareSnapshot, error) {
		b.free++
		facts := []events.HardwareFact{
			{Key: "cpu.threads", Value: events.NumberValue(b.threads), Source: "test", Confidence: events.ConfidenceCertain},
			{Key: "memory.free_b", Value: events.NumberValue(b.free), Source: "test", Confidence: events.ConfidenceCertain, Volatile: true},
		}
		return &events.HardwareSnapshot{Reason: why, BootID: b.boot, DevicesHash: "d", StableHash: events.StableHash(facts), Facts: facts}, b.err
	})
}

func (b *bench) id() events.ID {
	b.n++
	return events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", b.n))
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// recorded lists the facts of the log in short form.
func (b *bench) recorded() []string {
	var out []string
	for r, err := range b.log.Read(b.t.Context(), events.Query{}) {
		b.must(err)
		f, err := events.Decode(r.Event)
		b.must(err)
		switch f := f.(type) {
		case *events.HardwareSnapshot:
			out = append(out, "snapshot "+string(f.Reason))
		case *events.HardwareChanged:
			for _, c := range f.Changes {
				out = append(out, fmt.Sprintf("%s since %d: %s to %s", c.Key, f.Before, c.Before, c.After))
			}
		}
	}
	return out
}

func (b *bench) expect(want ...string) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.recorded()); diff != "" {
		b.t.Errorf("(-want +got)\n%s", diff)
	}
}

func (b *bench) request() events.Record {
	id := b.id()
	e, err := events.NewRequestEvent(events.Event{ID: id, Host: host, Subject: events.MachineSubject(host), Time: time.Unix(1, 0), Correlation: id}, &events.HardwareSnapshotRequest{})
	b.must(err)
	return events.Record{Event: e}
}

func TestSnapshotAtStartOnlyIfChanged(t *testing.T) {
	b := setup(t)
	b.must(b.RecordAtStart(t.Context()))
	b.must(b.RecordAtStart(t.Context())) // free memory differs, which is nothing new
	b.expect("snapshot start")
	b.threads = 8
	b.must(b.RecordAtStart(t.Context()))
	b.expect("snapshot start", "cpu.threads since 1: 4 to 8", "snapshot start")
	b.boot = "second"
	b.must(b.RecordAtStart(t.Context()))
	b.expect("snapshot start", "cpu.threads since 1: 4 to 8", "snapshot start", "snapshot start")
}

func TestSnapshotRequestDeliveredAgainRecordsOne(t *testing.T) {
	b := setup(t)
	b.must(b.RecordAtStart(t.Context()))
	r := b.request()
	b.must(b.RecordOnRequest(t.Context(), r))
	b.must(b.RecordOnRequest(t.Context(), r))
	b.expect("snapshot start", "snapshot request")
	b.must(b.RecordOnRequest(t.Context(), b.request()))
	b.expect("snapshot start", "snapshot request", "snapshot request")
	b.restart(b.log) // the acknowledgement was lost, and another snapshot came in between
	b.must(b.RecordOnRequest(t.Context(), r))
	b.expect("snapshot start", "snapshot request", "snapshot request")
}

// cut is a log that fails to append snapshots, as if the daemon had died before.
type cut struct{ *memlog.Log }

func (c cut) Append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	if e.Kind == events.KindHardwareSnapshot {
		return events.Record{}, errors.New("dead")
	}
	return c.Log.Append(ctx, e, x)
}

func TestSnapshotAfterDeathRecordsDifferenceOnce(t *testing.T) {
	b := setup(t)
	b.must(b.RecordAtStart(t.Context()))
	b.threads = 8
	b.restart(cut{b.log})
	if err := b.RecordAtStart(t.Context()); err == nil {
		t.Fatal("the append did not fail")
	}
	b.restart(b.log)
	b.must(b.RecordAtStart(t.Context()))
	b.expect("snapshot start", "cpu.threads since 1: 4 to 8", "snapshot start")
}

func TestSnapshotBeforePlanForHardwarePackages(t *testing.T) {
	b, planned := setup(t), 0
	var reported error
	plan := b.SnapshotBeforePlan(func(context.Context, events.Record) error { planned++; return nil }, func(err error) { reported = err })
	ask := func(name events.PackageName) {
		id := b.id()
		e, err := events.NewFactEvent(
			events.Event{ID: id, Host: host, Subject: events.TransactionSubject(events.TransactionID(id)), Time: time.Unix(1, 0), Transaction: events.TransactionID(id)},
			&events.Requested{Intent: events.Intent{Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: name}}}},
		)
		b.must(err)
		b.must(plan(t.Context(), events.Record{Event: e}))
	}
	ask("cowsay")
	b.expect()
	ask("firmware-iwlwifi")
	b.expect("snapshot plan")
	ask("intel-microcode")
	b.expect("snapshot plan")
	b.threads, b.err = 2, errors.New("no eyes")
	ask("nvidia-driver")
	if reported == nil || planned != 4 {
		t.Errorf("reported %v, planned %d times", reported, planned)
	}
}

func TestInvalidSnapshotIsNotRecorded(t *testing.T) {
	b := setup(t)
	s := hwsnapshot.New(&recorder.Recorder{Log: b.log, Now: time.Now, NewID: b.id}, func(context.Context, events.HardwareSnapshotReason) (*events.HardwareSnapshot, error) {
		return &events.HardwareSnapshot{Facts: []events.HardwareFact{{Key: "cpu.threads", Source: "x", Confidence: events.ConfidenceCertain}}}, nil
	})
	if err := s.RecordAtStart(t.Context()); !errors.Is(err, events.ErrInternal) {
		t.Errorf("got %v", err)
	}
	b.expect()
}
