// Package surveyor puts on record what the machine is: a hardware snapshot when
// the daemon starts, when somebody asks, and before a plan for packages that
// depend on the hardware.
//
// It promises: a snapshot follows a request even when it was delivered twice, and
// then once; at start and before a plan nothing is recorded while boot and stable
// facts are those of the newest snapshot; whenever they are not, what differs is
// on record right before the new snapshot, once, whatever died in between. A
// survey that fails never keeps a plan from being made.
package surveyor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cortex/consumers/scribe"
	"cortex/events"
)

// Probe looks at the machine. It is safe for concurrent use.
type Probe func(ctx context.Context, why events.SurveyReason) (*events.HardwareSnapshot, error)

// Surveyor records snapshots. It is safe for concurrent use.
type Surveyor struct {
	scribe *scribe.Scribe
	probe  Probe
	mu     sync.Mutex // one survey at a time: each is compared with the one before
}

// New returns a surveyor.
func New(s *scribe.Scribe, probe Probe) *Surveyor { return &Surveyor{scribe: s, probe: probe} }

// AtStart records a snapshot when something is new since the last.
func (s *Surveyor) AtStart(ctx context.Context) error {
	return s.record(ctx, scribe.Cause{}, events.SurveyAtStart)
}

// Requested records the snapshot that a request asks for.
func (s *Surveyor) Requested(ctx context.Context, r events.Record) error {
	return s.record(ctx, scribe.After(r).By(r.Actor), events.SurveyOnRequest)
}

// newest is the snapshot that was recorded last; ok is false when there is none.
func (s *Surveyor) newest(ctx context.Context) (r events.Record, f *events.HardwareSnapshot, err error) {
	r, ok, err := s.scribe.Log.Last(ctx, events.KindFilter(s.scribe.Log.Host(), events.KindHardwareSnapshot))
	if err != nil || !ok {
		return r, nil, err
	}
	fact, err := events.Decode(r.Event)
	if err != nil {
		return r, nil, err
	}
	f, ok = fact.(*events.HardwareSnapshot)
	if !ok {
		return r, nil, &events.Error{Op: "surveyor.newest", Kind: events.ErrCorrupt, Subject: r.String(), Err: fmt.Errorf("is no snapshot")}
	}
	return r, f, nil
}

func (s *Surveyor) record(ctx context.Context, c scribe.Cause, why events.SurveyReason) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, before, err := s.newest(ctx)
	if err != nil {
		return err
	}
	if before != nil && c.Record.ID != "" && at.Causation == c.Record.ID {
		return nil // the same request, delivered again
	}
	now, err := s.probe(ctx, why)
	if err != nil {
		return fmt.Errorf("look at the hardware: %w", err)
	}
	if err := now.Validate(); err != nil {
		return &events.Error{Op: "surveyor.record", Kind: events.ErrInternal, Subject: "hardware snapshot", Err: err}
	}
	if before != nil {
		same := before.Stable == now.Stable && before.BootID == now.BootID
		if same && why != events.SurveyOnRequest {
			return nil
		}
		if err := s.changed(ctx, c, at, events.DiffHardware(before.Facts, now.Facts)); err != nil {
			return err
		}
	}
	_, err = s.scribe.Append(ctx, c, events.MachineSubject(s.scribe.Log.Host()), now, events.Anything)
	return err
}

// changed records the difference to the snapshot at that place, unless it is on
// record since: then the daemon died before it wrote the snapshot.
func (s *Surveyor) changed(ctx context.Context, c scribe.Cause, at events.Record, changes []events.HardwareChange) error {
	if len(changes) == 0 {
		return nil
	}
	host := s.scribe.Log.Host()
	last, ok, err := s.scribe.Log.Last(ctx, events.KindFilter(host, events.KindHardwareChanged))
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
	_, err = s.scribe.Append(ctx, c, events.MachineSubject(host), &events.HardwareChanged{Before: at.Position, Changes: changes}, events.Anything)
	return err
}

// dependent are how the names of packages start or end that make sense only on
// some hardware.
var dependent = struct{ starts, ends []string }{
	starts: []string{"firmware-", "linux-firmware", "linux-image", "nvidia-", "libnvidia-", "libcuda", "rocm-", "broadcom-sta-", "xserver-xorg-video-", "qemu-guest-agent", "open-vm-tools", "hyperv-daemons", "bumblebee"},
	ends:   []string{"-microcode", "-dkms"},
}

// Depends reports whether a package makes sense only on some hardware, by its name.
func Depends(name events.PackageName) bool {
	s := string(name)
	return slices.ContainsFunc(dependent.starts, func(p string) bool { return strings.HasPrefix(s, p) }) ||
		slices.ContainsFunc(dependent.ends, func(p string) bool { return strings.HasSuffix(s, p) })
}

// Worker reacts to one message.
type Worker interface {
	Handle(ctx context.Context, r events.Record) error
}

// beforePlans is a planner that first has the hardware looked at, where it matters.
type beforePlans struct {
	surveyor *Surveyor
	planner  Worker
	report   func(error)
}

// BeforePlans wraps the planner: a request for packages that depend on the hardware
// gets a snapshot before its plan. report is told when there could be none.
func (s *Surveyor) BeforePlans(planner Worker, report func(error)) Worker {
	return beforePlans{s, planner, report}
}

// Handle implements [Worker].
func (b beforePlans) Handle(ctx context.Context, r events.Record) error {
	f, err := events.Decode(r.Event)
	if err != nil {
		return err
	}
	if q, ok := f.(*events.Requested); ok && slices.ContainsFunc(q.Packages, func(p events.PackageRef) bool { return Depends(p.Name) }) {
		if err := b.surveyor.record(ctx, scribe.After(r), events.SurveyBeforePlan); err != nil {
			b.report(err)
		}
	}
	return b.planner.Handle(ctx, r)
}
