// Package limiter is the consumer of requests about limits: it sets profiles, applies limits
// to processes and reverts them.
//
// It promises:
//   - Every request has one answer: limits.profile-set, limits.applied, limits.reverted or
//     limits.refused. A request that is delivered twice has no second answer.
//   - limits.applied is appended after the limits are in effect. The command lets its program
//     start after it.
//   - A crash between the effect and the fact leaves no unknown group: the machine has a
//     note of it, and the limiter reverts it before it handles the request again.
//   - A group that ends without its command gets limits.reverted too: while the daemon runs
//     within a few seconds, otherwise at its next start.
//
// It acts on the machine only through the role [Machine]. It is safe for concurrent use.
package limiter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"cortex/consumers/machine/limits"
	"cortex/consumers/recorder"
	"cortex/events"
)

// Machine is what the limiter needs of the machine; see [limits.Machine].
type Machine interface {
	// Apply puts limits on the process or unit of a request. It notes the group first.
	Apply(ctx context.Context, a events.LimitsApply, who events.Actor) (events.LimitsApplied, error)
	// Usage fails with ErrNotFound when the group is gone.
	Usage(ctx context.Context, g limits.Group) (events.LimitUsage, error)
	Revert(ctx context.Context, g limits.Group) error
	// CommandRuns reports whether the command that asked for a group still runs.
	CommandRuns(g limits.Group) bool
	// Noted lists the groups that have a note, and Forget removes a note.
	Noted() ([]limits.Group, error)
	Forget(unit string) error
}

// watchInterval is the time between two looks at the groups that are active.
const watchInterval = 5 * time.Second

// effectTimeout bounds one change of the machine: other requests wait for it.
const effectTimeout = 20 * time.Second

// Limiter handles requests about limits.
type Limiter struct {
	log      events.Log
	recorder *recorder.Recorder
	machine  Machine
	logger   *slog.Logger

	mu       sync.Mutex
	loaded   bool
	answered map[events.ID]bool       // requests
	active   map[string]events.Record // the facts of groups that are under limits, by unit
}

// New returns a limiter.
func New(s *recorder.Recorder, m Machine, logger *slog.Logger) *Limiter {
	return &Limiter{log: s.Log, recorder: s, machine: m, logger: logger}
}

// Handle answers one request. It returns an error only where the answer could not be
// recorded.
func (l *Limiter) Handle(ctx context.Context, r events.Record, req *events.LimitsRequest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(ctx); err != nil {
		return err
	}
	if l.answered[r.ID] {
		return nil
	}
	if r.Actor.UID != l.recorder.Actor.UID {
		return l.refuse(ctx, r, "", &events.Error{Op: "limiter.Handle", Kind: events.ErrConfirmation, Subject: string(r.Kind), Err: fmt.Errorf("user %d may not change limits through the daemon of user %d", r.Actor.UID, l.recorder.Actor.UID), Hint: "run the command as root"})
	}
	switch {
	case req.Apply != nil:
		return l.apply(ctx, r, *req.Apply)
	case req.Revert != nil:
		return l.revertOnRequest(ctx, r, *req.Revert)
	}
	return l.append(ctx, recorder.CausedBy(r).WithActor(r.Actor), req.Set)
}

func (l *Limiter) apply(ctx context.Context, r events.Record, a events.LimitsApply) error {
	if err := l.revertUnrecorded(ctx); err != nil {
		return err
	}
	if err := l.checkFree(ctx, a); err != nil {
		return l.refuse(ctx, r, a.Unit, err)
	}
	bounded, cancel := context.WithTimeout(ctx, effectTimeout)
	defer cancel()
	applied, err := l.machine.Apply(bounded, a, r.Actor)
	if ctx.Err() != nil {
		return ctx.Err() // it is delivered again
	}
	if err != nil {
		return l.refuse(ctx, r, a.Unit, err)
	}
	return l.append(ctx, recorder.CausedBy(r).WithActor(r.Actor), &applied)
}

// checkFree fails when the name is in use, or the target is under limits already.
func (l *Limiter) checkFree(ctx context.Context, a events.LimitsApply) error {
	for unit, rec := range l.active {
		g, err := group(rec)
		if err != nil {
			return err
		}
		same := a.How == events.LimitsAttach && g.How == events.LimitsAttach && (g.Target == a.Target || unit == a.Target || unit == a.Target+".service")
		if unit != a.Unit && !same {
			continue
		}
		if _, err := l.machine.Usage(ctx, g); !errors.Is(err, events.ErrNotFound) {
			return &events.Error{Op: "limiter.Apply", Kind: events.ErrConflict, Subject: a.Target, Err: errors.New("already under limits"), Hint: "revert them first: cortex limits revert " + unit}
		}
	}
	return nil
}

func (l *Limiter) revertOnRequest(ctx context.Context, r events.Record, req events.LimitsRevert) error {
	rec, ok := l.active[req.Unit]
	if !ok {
		return l.refuse(ctx, r, req.Unit, &events.Error{Op: "limiter.Revert", Kind: events.ErrNotFound, Subject: fmt.Sprintf("%q", req.Unit), Err: errors.New("no group of that name is under limits"), Hint: "see 'cortex limits list --all'"})
	}
	g, err := group(rec)
	if err != nil {
		return err
	}
	used, gone := l.machine.Usage(ctx, g)
	switch {
	case gone == nil && g.Backend == limits.Rlimits && g.How == events.LimitsRun:
		return l.refuse(ctx, r, req.Unit, &events.Error{Op: "limiter.Revert", Kind: events.ErrDenied, Subject: req.Unit, Err: errors.New("a program that was started with rlimits keeps them until it ends")})
	case gone == nil && req.Reason == events.RevertEnded && used.Pids > 0:
		return l.refuse(ctx, r, req.Unit, &events.Error{Op: "limiter.Revert", Kind: events.ErrDenied, Subject: req.Unit, Err: fmt.Errorf("%d processes are still running", used.Pids), Hint: "to remove their limits: cortex limits revert " + req.Unit})
	}
	bounded, cancel := context.WithTimeout(ctx, effectTimeout)
	defer cancel()
	if err := l.machine.Revert(bounded, g); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return l.refuse(ctx, r, req.Unit, err)
	}
	return l.append(ctx, recorder.CausedBy(r).WithActor(r.Actor), &events.LimitsReverted{Unit: req.Unit, Reason: req.Reason, Exit: req.Exit, Usage: used})
}

func (l *Limiter) refuse(ctx context.Context, r events.Record, unit string, why error) error {
	return l.append(ctx, recorder.CausedBy(r).WithActor(r.Actor), &events.LimitsRefused{Unit: unit, Failure: events.FailureOf(why)})
}

// append records a fact. After a failure it is unknown whether the log has the fact, so the
// state is loaded again.
func (l *Limiter) append(ctx context.Context, c recorder.Cause, f events.Fact) error {
	rec, err := l.recorder.Append(ctx, c, events.MachineSubject(l.log.Host()), f, events.NoExpectation)
	if err != nil {
		l.loaded = false
		return err
	}
	l.take(rec, f)
	if end, ok := f.(*events.LimitsReverted); ok {
		return l.machine.Forget(end.Unit)
	}
	return nil
}

// load reads which requests have an answer, and which groups are active.
func (l *Limiter) load(ctx context.Context) error {
	if l.loaded {
		return nil
	}
	l.answered, l.active = map[events.ID]bool{}, map[string]events.Record{}
	var filters []string
	for _, k := range []events.Kind{events.KindLimitProfileSet, events.KindLimitsApplied, events.KindLimitsReverted, events.KindLimitsRefused} {
		filters = append(filters, events.KindFilter(l.log.Host(), k))
	}
	for rec, err := range l.log.Read(ctx, events.Query{Filters: filters}) {
		if err != nil {
			return err
		}
		f, err := events.Decode(rec.Event)
		if err != nil {
			return err
		}
		l.take(rec, f)
	}
	l.loaded = true
	return nil
}

func (l *Limiter) take(rec events.Record, f events.Fact) {
	l.answered[rec.Correlation] = true
	switch f := f.(type) {
	case *events.LimitsApplied:
		l.active[f.Unit] = rec
	case *events.LimitsReverted:
		delete(l.active, f.Unit)
	}
}

func group(rec events.Record) (limits.Group, error) {
	f, err := events.Decode(rec.Event)
	if err != nil {
		return limits.Group{}, err
	}
	return limits.Group{LimitsApplied: *f.(*events.LimitsApplied), At: rec.Time, Command: rec.Actor.PID}, nil
}

// Run reverts what a crash cut off, and then records the end of groups that ended without
// their command, until ctx is done.
func (l *Limiter) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := l.Sweep(ctx); err != nil && ctx.Err() == nil {
			l.logger.Warn("groups under limits were not checked", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchInterval):
		}
	}
}

// Sweep does what [Limiter.Run] does, once.
func (l *Limiter) Sweep(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(ctx); err != nil {
		return err
	}
	err := l.revertUnrecorded(ctx)
	for _, rec := range l.active {
		err = errors.Join(err, l.endUnattended(ctx, rec))
	}
	return err
}

// revertUnrecorded reverts the groups that have a note and no fact.
func (l *Limiter) revertUnrecorded(ctx context.Context) error {
	noted, err := l.machine.Noted()
	if err != nil {
		return err
	}
	for _, g := range noted {
		if _, ok := l.active[g.Unit]; ok {
			continue
		}
		if err := l.machine.Revert(ctx, g); err != nil {
			return fmt.Errorf("revert the unrecorded group %s: %w", g.Unit, err)
		}
		if err := l.machine.Forget(g.Unit); err != nil {
			return err
		}
		l.logger.Info("reverted limits that a crash cut off", "group", g.Unit)
	}
	return nil
}

// endUnattended records the end of a group that has no processes left and whose command is
// gone. A unit of systemd keeps its limits while it is stopped.
func (l *Limiter) endUnattended(ctx context.Context, rec events.Record) error {
	g, err := group(rec)
	if err != nil || g.PID == 0 || g.How == events.LimitsRun && l.machine.CommandRuns(g) {
		return err
	}
	used, err := l.machine.Usage(ctx, g)
	switch {
	case err == nil && (used.Pids > 0 || g.Backend == limits.Rlimits):
		return nil
	case err != nil && !errors.Is(err, events.ErrNotFound):
		return err
	}
	if err := l.machine.Revert(ctx, g); err != nil {
		return err
	}
	return l.append(ctx, recorder.CausedBy(rec).WithActor(l.recorder.Actor), &events.LimitsReverted{Unit: g.Unit, Reason: events.RevertUnattended, Usage: used})
}
