// Package hwsnapshot records hardware snapshots: when the daemon starts, on request,
// and before a plan for packages that depend on the hardware.
//
// It promises:
//
//   - A request records one snapshot, however often it is delivered.
//   - At start and before a plan, a snapshot is recorded only if the boot or the stable
//     facts differ from those of the newest snapshot.
//   - The difference is recorded right before the new snapshot, once, even if the
//     daemon dies in between.
//   - A snapshot that fails does not prevent a plan.
package hwsnapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cortex/consumers/recorder"
	"cortex/events"
)

// HardwareProbe reads the hardware. It is safe for concurrent use.
type HardwareProbe func(ctx context.Context, why events.HardwareSnapshotReason) (*events.HardwareSnapshot, error)

// Snapshotter records snapshots. It is safe for concurrent use.
type Snapshotter struct {
	recorder *recorder.Recorder
	probe    HardwareProbe
	requests *recorder.CauseIndex // of snapshots
	mu       sync.Mutex           // one at a time: each snapshot is compared with the one before
}

// New returns a snapshotter.
func New(s *recorder.Recorder, probe HardwareProbe) *Snapshotter {
	return &Snapshotter{recorder: s, probe: probe, requests: recorder.NewCauseIndex(s.Log, events.KindHardwareSnapshot)}
}

// RecordAtStart records a snapshot if it differs from the newest one.
func (s *Snapshotter) RecordAtStart(ctx context.Context) error {
	return s.recordSnapshot(ctx, recorder.Cause{}, events.HardwareSnapshotAtStart)
}

// RecordOnRequest records the snapshot that a request asks for.
func (s *Snapshotter) RecordOnRequest(ctx context.Context, r events.Record) error {
	return s.recordSnapshot(ctx, recorder.CausedBy(r).WithActor(r.Actor), events.HardwareSnapshotOnRequest)
}

// latestSnapshot returns the newest recorded snapshot and its record; f is nil if there
// is none.
func (s *Snapshotter) latestSnapshot(ctx context.Context) (r events.Record, f *events.HardwareSnapshot, err error) {
	r, ok, err := s.recorder.Log.Last(ctx, events.KindFilter(s.recorder.Log.Host(), events.KindHardwareSnapshot))
	if err != nil || !ok {
		return r, nil, err
	}
	fact, err := events.Decode(r.Event)
	if err != nil {
		return r, nil, err
	}
	if _, unknown := fact.(*events.UnknownFact); unknown {
		return r, nil, nil // a newer Cortex recorded it: nothing to compare with
	}
	f, ok = fact.(*events.HardwareSnapshot)
	if !ok {
		return r, nil, &events.Error{Op: "hwsnapshot.latestSnapshot", Kind: events.ErrCorrupt, Subject: r.String(), Err: errors.New("not a hardware snapshot")}
	}
	return r, f, nil
}

func (s *Snapshotter) recordSnapshot(ctx context.Context, c recorder.Cause, why events.HardwareSnapshotReason) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Record.ID != "" {
		if done, err := s.requests.Caused(ctx, c.Record.ID); err != nil || done {
			return err // the same request, delivered again
		}
	}
	at, before, err := s.latestSnapshot(ctx)
	if err != nil {
		return err
	}
	now, err := s.probe(ctx, why)
	if err != nil {
		return fmt.Errorf("read the hardware: %w", err)
	}
	if err := now.Validate(); err != nil {
		return &events.Error{Op: "hwsnapshot.recordSnapshot", Kind: events.ErrInternal, Subject: "hardware snapshot", Err: err}
	}
	if before != nil {
		same := before.StableHash == now.StableHash && before.BootID == now.BootID
		if same && why != events.HardwareSnapshotOnRequest {
			return nil
		}
		if err := s.recordChange(ctx, c, at, events.DiffHardware(before.Facts, now.Facts)); err != nil {
			return err
		}
	}
	_, err = s.recorder.Append(ctx, c, events.MachineSubject(s.recorder.Log.Host()), now, events.NoExpectation)
	return err
}

// recordChange records the difference from an earlier snapshot, unless it is recorded
// already because the daemon died before it recorded the new snapshot.
func (s *Snapshotter) recordChange(ctx context.Context, c recorder.Cause, at events.Record, changes []events.HardwareChange) error {
	if len(changes) == 0 {
		return nil
	}
	host := s.recorder.Log.Host()
	last, ok, err := s.recorder.Log.Last(ctx, events.KindFilter(host, events.KindHardwareChanged))
	if err != nil {
		return err
	}
	if ok && last.Position > at.Position {
		f, err := events.Decode(last.Event)
		if err != nil {
			return err
		}
		if f, ok := f.(*events.HardwareChanged); ok && slices.Equal(f.Changes, changes) {
			return nil
		}
	}
	_, err = s.recorder.Append(ctx, c, events.MachineSubject(host), &events.HardwareChanged{Before: at.Position, Changes: changes}, events.NoExpectation)
	return err
}

// hardwareAffixes are the beginnings and ends of the names of packages that are useful
// only on some hardware.
var hardwareAffixes = struct{ starts, ends []string }{
	starts: []string{"firmware-", "linux-firmware", "linux-image", "nvidia-", "libnvidia-", "libcuda", "rocm-", "broadcom-sta-", "xserver-xorg-video-", "qemu-guest-agent", "open-vm-tools", "hyperv-daemons", "bumblebee"},
	ends:   []string{"-microcode", "-dkms"},
}

// DependsOnHardware reports, by its name, whether a package is useful only on some
// hardware.
func DependsOnHardware(name events.PackageName) bool {
	s := string(name)
	return slices.ContainsFunc(hardwareAffixes.starts, func(p string) bool { return strings.HasPrefix(s, p) }) ||
		slices.ContainsFunc(hardwareAffixes.ends, func(p string) bool { return strings.HasSuffix(s, p) })
}

// SnapshotBeforePlan returns a handler that calls plan. For a request that names
// packages that depend on the hardware it first records a snapshot. A snapshot that
// fails is reported, and the plan is made anyway.
func (s *Snapshotter) SnapshotBeforePlan(plan func(context.Context, events.Record) error, report func(error)) func(context.Context, events.Record) error {
	return func(ctx context.Context, r events.Record) error {
		f, err := events.Decode(r.Event)
		if err != nil {
			return err
		}
		if q, ok := f.(*events.Requested); ok && slices.ContainsFunc(q.Packages, func(p events.PackageRef) bool { return DependsOnHardware(p.Name) }) {
			if err := s.recordSnapshot(ctx, recorder.CausedBy(r), events.HardwareSnapshotBeforePlan); err != nil {
				report(err)
			}
		}
		return plan(ctx, r)
	}
}
