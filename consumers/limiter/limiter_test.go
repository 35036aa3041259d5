package limiter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cortex/consumers/limiter"
	"cortex/consumers/machine/limits"
	"cortex/consumers/recorder"
	"cortex/events"
	"cortex/events/memlog"
)

const host = "00000000-0000-7000-8000-00000000000a"

var me = os.Getuid() // the daemon's user

// fakeMachine keeps groups in memory. What it did is in calls.
type fakeMachine struct {
	calls     []string
	groups    map[string]events.LimitUsage
	notes     map[string]limits.Group
	commandUp bool
	applyErr  error
	onApply   func() // just before the effect is done
}

func newFake() *fakeMachine {
	return &fakeMachine{groups: map[string]events.LimitUsage{}, notes: map[string]limits.Group{}, commandUp: true}
}

func (m *fakeMachine) Apply(_ context.Context, a events.LimitsApply, who events.Actor) (events.LimitsApplied, error) {
	m.calls = append(m.calls, "apply "+a.Unit)
	applied := events.LimitsApplied{Unit: a.Unit, Profile: a.Profile, Limits: a.Limits, How: a.How, Backend: a.Backend, Target: a.Target, PID: a.Process.PID}
	if m.applyErr != nil {
		return applied, m.applyErr
	}
	m.notes[a.Unit] = limits.Group{LimitsApplied: applied, Command: who.PID}
	m.groups[a.Unit] = events.LimitUsage{Pids: 1}
	if m.onApply != nil {
		m.onApply()
	}
	return applied, nil
}

func (m *fakeMachine) Usage(_ context.Context, g limits.Group) (events.LimitUsage, error) {
	u, ok := m.groups[g.Unit]
	if !ok {
		return events.UnknownUsage, &events.Error{Kind: events.ErrNotFound, Err: errors.New("gone")}
	}
	return u, nil
}

func (m *fakeMachine) Revert(_ context.Context, g limits.Group) error {
	m.calls = append(m.calls, "revert "+g.Unit)
	delete(m.groups, g.Unit)
	return nil
}

func (m *fakeMachine) CommandRuns(limits.Group) bool { return m.commandUp }

func (m *fakeMachine) Noted() (out []limits.Group, err error) {
	for _, g := range m.notes {
		out = append(out, g)
	}
	return out, nil
}

func (m *fakeMachine) Forget(unit string) error {
	delete(m.notes, unit)
	return nil
}

// brokenLog fails to append while broken is true, as for a daemon that is killed before.
type brokenLog struct {
	events.Log
	broken bool
}

func (l *brokenLog) Append(ctx context.Context, e events.Event, x events.Expect) (events.Record, error) {
	if l.broken {
		return events.Record{}, &events.Error{Kind: events.ErrFull, Err: errors.New("killed")}
	}
	return l.Log.Append(ctx, e, x)
}

type setup struct {
	t   *testing.T
	log *brokenLog
	ids int
	limiter.Machine
	*limiter.Limiter
}

func newSetup(t *testing.T, m limiter.Machine) *setup {
	s := &setup{t: t, log: &brokenLog{Log: memlog.New(host)}, Machine: m}
	s.restart()
	return s
}

// restart is a new daemon on the same log and the same machine.
func (s *setup) restart() {
	r := &recorder.Recorder{Log: s.log, Now: time.Now, NewID: s.newID, Actor: events.Actor{UID: me, Program: "cortexd"}}
	s.Limiter = limiter.New(r, s.Machine, slog.New(slog.DiscardHandler))
}

func (s *setup) newID() events.ID {
	s.ids++
	return events.ID(fmt.Sprintf("00000000-0000-7000-8000-%012d", s.ids))
}

// file handles a request of a user, and returns it for another delivery.
func (s *setup) file(uid int, req events.LimitsRequest) (events.Record, *events.LimitsRequest) {
	s.t.Helper()
	id := s.newID()
	rec := events.Record{Event: events.Event{ID: id, Kind: events.KindLimitsRequested, Correlation: id, Host: host, Actor: events.Actor{UID: uid, PID: os.Getpid()}}}
	if err := s.Handle(s.t.Context(), rec, &req); (err != nil) != s.log.broken {
		s.t.Fatal(err)
	}
	return rec, &req
}

// facts lists what is recorded: kind, and unit.
func (s *setup) facts() (out []string) {
	s.t.Helper()
	for rec, err := range s.log.Read(s.t.Context(), events.Query{}) {
		if err != nil {
			s.t.Fatal(err)
		}
		f, err := events.Decode(rec.Event)
		if err != nil {
			s.t.Fatal(err)
		}
		switch f := f.(type) {
		case *events.LimitsApplied:
			out = append(out, "applied "+f.Unit)
		case *events.LimitsReverted:
			out = append(out, fmt.Sprintf("reverted %s %s %d", f.Unit, f.Reason, f.Exit))
		case *events.LimitsRefused:
			out = append(out, "refused "+f.Unit+" "+string(f.Failure.Kind))
		case *events.LimitProfileSet:
			out = append(out, "set "+f.Name)
		}
	}
	return out
}

func (s *setup) want(facts ...string) {
	s.t.Helper()
	if got := s.facts(); !slices.Equal(got, facts) {
		s.t.Errorf("recorded %q, want %q", got, facts)
	}
}

func apply(unit string) events.LimitsRequest {
	return events.LimitsRequest{Apply: &events.LimitsApply{Unit: unit, How: events.LimitsRun, Backend: limits.CgroupV1, Target: "make", Process: &events.ProcessRef{PID: 41, StartTicks: 1}}}
}

func revert(unit, reason string, exit int) events.LimitsRequest {
	return events.LimitsRequest{Revert: &events.LimitsRevert{Unit: unit, Reason: reason, Exit: exit}}
}

func TestAppliedIsRecordedAfterTheEffectAndOnce(t *testing.T) {
	m := newFake()
	s := newSetup(t, m)
	m.onApply = func() {
		if len(s.facts()) != 0 {
			t.Errorf("recorded before the effect: %q", s.facts())
		}
	}
	rec, req := s.file(me, apply("a"))
	s.want("applied a")
	for range 2 {
		if err := s.Handle(t.Context(), rec, req); err != nil {
			t.Fatal(err)
		}
		s.restart()
	}
	s.want("applied a")
	if !slices.Equal(m.calls, []string{"apply a"}) {
		t.Errorf("a request that is delivered again acts again: %q", m.calls)
	}
	m.groups["a"] = events.LimitUsage{}
	s.file(me, revert("a", events.RevertEnded, 7))
	s.want("applied a", "reverted a ended 7")
	if len(m.notes) != 0 {
		t.Errorf("a note is left: %v", m.notes)
	}
}

func TestProfileIsSet(t *testing.T) {
	s := newSetup(t, newFake())
	s.file(me, events.LimitsRequest{Set: &events.LimitProfileSet{LimitProfile: events.LimitProfile{Name: "p"}}})
	s.want("set p")
}

func TestRefusals(t *testing.T) {
	m := newFake()
	s := newSetup(t, m)
	s.file(me+1, apply("a"))
	s.file(me, revert("a", events.RevertAsked, 0))
	m.applyErr = &events.Error{Kind: events.ErrDenied, Err: errors.New("no")}
	s.file(me, apply("a"))
	m.applyErr = nil
	s.want("refused  confirmation", "refused a not-found", "refused a denied")
	s.file(me, apply("a"))
	s.file(me, apply("a"))
	s.file(me, revert("a", events.RevertEnded, 0))
	if got := s.facts()[3:]; !slices.Equal(got, []string{"applied a", "refused a conflict", "refused a denied"}) {
		t.Errorf("recorded %q", got)
	}
	if len(m.groups) != 1 {
		t.Errorf("groups: %v", m.groups)
	}
}

func TestProgramWithRlimitsKeepsThem(t *testing.T) {
	m := newFake()
	s := newSetup(t, m)
	req := apply("a")
	req.Apply.Backend = limits.Rlimits
	s.file(me, req)
	s.file(me, revert("a", events.RevertAsked, 0))
	s.want("applied a", "refused a denied")
}

func TestKilledBetweenEffectAndFact(t *testing.T) {
	t.Run("the request is delivered again", func(t *testing.T) {
		m := newFake()
		s := newSetup(t, m)
		s.log.broken = true
		rec, req := s.file(me, apply("a"))
		s.log.broken = false
		s.restart()
		if err := s.Handle(t.Context(), rec, req); err != nil {
			t.Fatal(err)
		}
		s.want("applied a")
		if !slices.Equal(m.calls, []string{"apply a", "revert a", "apply a"}) {
			t.Errorf("it did %q", m.calls)
		}
	})
	t.Run("the command is gone", func(t *testing.T) {
		m := newFake()
		s := newSetup(t, m)
		s.log.broken = true
		rec, req := s.file(me, apply("a"))
		s.log.broken = false
		s.restart()
		m.applyErr = &events.Error{Kind: events.ErrCancelled, Err: errors.New("the command has ended")}
		if err := s.Handle(t.Context(), rec, req); err != nil {
			t.Fatal(err)
		}
		s.want("refused a cancelled")
		if len(m.groups)+len(m.notes) != 0 {
			t.Errorf("left: %v, %v", m.groups, m.notes)
		}
	})
	t.Run("at the start", func(t *testing.T) {
		m := newFake()
		s := newSetup(t, m)
		s.log.broken = true
		s.file(me, apply("a"))
		s.log.broken = false
		s.restart()
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.want()
		if len(m.groups)+len(m.notes) != 0 {
			t.Errorf("left: %v, %v", m.groups, m.notes)
		}
	})
}

func TestGroupThatEndedWithoutItsCommandIsReverted(t *testing.T) {
	m := newFake()
	s := newSetup(t, m)
	s.file(me, apply("a"))
	sweep := func() {
		t.Helper()
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	m.commandUp = false
	sweep()
	s.want("applied a") // a process is left
	m.commandUp, m.groups["a"] = true, events.LimitUsage{}
	sweep()
	s.want("applied a") // the command reports the end itself
	m.commandUp = false
	s.restart()
	sweep()
	sweep()
	s.want("applied a", "reverted a unattended 0")
	if len(m.groups)+len(m.notes) != 0 {
		t.Errorf("left: %v, %v", m.groups, m.notes)
	}
}

// TestKilledAfterAttachRestoresTheProcess does it to a real process.
func TestKilledAfterAttachRestoresTheProcess(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	pid := cmd.Process.Pid
	space := func() (l unix.Rlimit) {
		t.Helper()
		if err := unix.Prlimit(pid, unix.RLIMIT_AS, nil, &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	before := space()
	ref, err := limits.ProcessWithPID("/", pid)
	if err != nil {
		t.Fatal(err)
	}
	m := limits.NewMachine(limits.Config{Root: "/", UID: os.Getuid()}, t.TempDir())
	s := newSetup(t, m)
	s.log.broken = true
	s.file(me, events.LimitsRequest{Apply: &events.LimitsApply{
		Unit: "a", How: events.LimitsAttach, Backend: limits.Rlimits, Target: strconv.Itoa(pid), Process: &ref, Limits: events.Limits{MemoryBytes: 1 << 30},
	}})
	if space().Cur != 1<<30 {
		t.Fatalf("not limited: %+v", space())
	}
	s.log.broken = false
	s.restart()
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if space() != before {
		t.Errorf("before %+v, after %+v", before, space())
	}
}
