package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cortex/cmd/client"
	"cortex/cmd/parts"
	"cortex/consumers/machine/limits"
	"cortex/events"
	model "cortex/projections/limits"
)

// limitsTimeout bounds the wait for the daemon's answer. It is longer than the daemon's own
// bound for a change of limits.
const limitsTimeout = 30 * time.Second

// SetLimitProfile creates or replaces a profile, and returns the position of the fact.
func (s *Service) SetLimitProfile(ctx context.Context, p events.LimitProfile) (events.Position, error) {
	position, _, err := s.requestLimits(ctx, events.LimitsRequest{Set: &events.LimitProfileSet{LimitProfile: p}})
	return position, err
}

// requestLimits files a request about limits and returns the fact that answers it, once the
// read models show it. A refusal is returned as its error.
func (s *Service) requestLimits(ctx context.Context, req events.LimitsRequest) (events.Position, events.Fact, error) {
	if err := req.Validate(); err != nil {
		return 0, nil, err
	}
	c, ping, err := s.Connect(ctx) // also at the end of a program: the daemon may have stopped meanwhile
	if err != nil {
		return 0, nil, err
	}
	if s.Settings.IsSystem() && !ping.MayChange {
		return 0, nil, &events.Error{Op: "app.requestLimits", Kind: events.ErrConfirmation, Subject: "limits of the system", Err: errors.New("only root may change them"), Hint: "run the command as root"}
	}
	status, err := c.Status(ctx)
	if err != nil {
		return 0, nil, err
	}
	id, err := s.Producer(c, ping.Host).RequestLimits(ctx, req)
	if err != nil {
		return 0, nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, limitsTimeout)
	defer cancel()
	for l, err := range c.Events(waiting, client.StreamOptions{After: status.Head, Follow: true}) {
		if err != nil {
			return 0, nil, fmt.Errorf("wait for the answer to a request about limits: %w", err)
		}
		if l.Event == nil || l.Event.Correlation != id {
			continue
		}
		fact, err := events.Decode(l.Event.Event)
		if err != nil {
			return 0, nil, err
		}
		switch fact := fact.(type) {
		case *events.LimitsRefused:
			return 0, nil, fact.AsError()
		case *events.DeadLettered:
			return 0, nil, fact.Failure.AsError()
		}
		return l.Event.Position, fact, c.WaitProjected(waiting, l.Event.Position)
	}
	if ctx.Err() != nil {
		return 0, nil, ctx.Err()
	}
	return 0, nil, &events.Error{Op: "app.requestLimits", Kind: events.ErrUnavailable, Subject: "limits", Err: fmt.Errorf("the daemon did not answer within %s", limitsTimeout), Hint: "see 'cortex status'"}
}

func (s *Service) applyLimits(ctx context.Context, a events.LimitsApply) (events.LimitsApplied, error) {
	_, fact, err := s.requestLimits(ctx, events.LimitsRequest{Apply: &a})
	if err != nil {
		return events.LimitsApplied{}, err
	}
	applied, ok := fact.(*events.LimitsApplied)
	if !ok {
		return events.LimitsApplied{}, unexpectedFact(fact)
	}
	return *applied, nil
}

func (s *Service) revertLimits(ctx context.Context, r events.LimitsRevert) (events.LimitsReverted, error) {
	_, fact, err := s.requestLimits(ctx, events.LimitsRequest{Revert: &r})
	if err != nil {
		return events.LimitsReverted{}, err
	}
	reverted, ok := fact.(*events.LimitsReverted)
	if !ok {
		return events.LimitsReverted{}, unexpectedFact(fact)
	}
	return *reverted, nil
}

func unexpectedFact(f events.Fact) error {
	return &events.Error{Op: "app.requestLimits", Kind: events.ErrInternal, Subject: string(f.Kind()), Err: errors.New("not an answer to the request")}
}

// AttachLimits puts a running process, or a unit of systemd, under the limits of a profile.
func (s *Service) AttachLimits(ctx context.Context, p events.LimitProfile, backend, target string) (events.LimitsApplied, error) {
	a := events.LimitsApply{Unit: NewLimitUnit(p.Name), Profile: p.Name, Limits: p.Limits, How: events.LimitsAttach, Backend: backend, Target: target}
	if pid, err := strconv.Atoi(target); err == nil && pid > 0 {
		ref, err := limits.ProcessWithPID("/", pid)
		if err != nil {
			return events.LimitsApplied{}, err
		}
		a.Process, a.Target = &ref, strconv.Itoa(pid)
	}
	return s.applyLimits(ctx, a)
}

// LimitedProgram is a program to run under the limits of a profile.
type LimitedProgram struct {
	Profile        events.LimitProfile
	Backend        string // "" is the best that the machine has
	Argv           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// KeepInterrupt does not pass SIGINT on: the program gets it from its terminal.
	KeepInterrupt bool
}

// LimitedResult is how a limited program ended.
type LimitedResult struct {
	Exit  int               // its code, or 128 and the number of a signal
	Usage events.LimitUsage // of its group
	Left  int64             // processes that it left running; they stay under limits
}

// RunLimited starts a process that waits, has the daemon limit it, and lets it start the program
// after the fact. started is called in between. Without the fact the program does not start.
// When the program ended, the daemon reverts the limits, unless processes are left.
func (s *Service) RunLimited(ctx context.Context, p LimitedProgram, started func(events.LimitsApplied)) (LimitedResult, error) {
	child, err := startWaiting(p)
	if err != nil {
		return LimitedResult{}, err
	}
	a := events.LimitsApply{
		Unit: NewLimitUnit(p.Profile.Name), Profile: p.Profile.Name, Limits: p.Profile.Limits, How: events.LimitsRun,
		Backend: p.Backend, Target: filepath.Base(p.Argv[0]),
	}
	ref, err := limits.ProcessWithPID("/", child.cmd.Process.Pid)
	var applied events.LimitsApplied
	if err == nil {
		a.Process = &ref
		applied, err = s.applyLimits(ctx, a)
	}
	if err != nil {
		_ = child.gate.Close() // it ends without having started the program
		child.wait()
		return LimitedResult{}, err
	}
	started(applied)
	return s.finishLimited(context.WithoutCancel(ctx), applied, child)
}

// finishLimited lets the program start, waits for its end, and has its limits reverted.
func (s *Service) finishLimited(ctx context.Context, applied events.LimitsApplied, child *waitingProgram) (end LimitedResult, err error) {
	_, err = child.gate.Write([]byte{1})
	err = errors.Join(err, child.gate.Close())
	end.Exit = child.wait()
	var gone error
	end.Usage, gone = parts.LimitsMachine(s.Settings).Usage(ctx, limits.Group{LimitsApplied: applied})
	if gone == nil && end.Usage.Pids > 0 {
		end.Left = end.Usage.Pids
		return end, err
	}
	reverted, failed := s.revertLimits(ctx, events.LimitsRevert{Unit: applied.Unit, Reason: events.RevertEnded, Exit: end.Exit})
	if failed == nil && end.Usage == events.UnknownUsage {
		end.Usage = reverted.Usage
	}
	return end, errors.Join(err, failed)
}

// NewLimitUnit names a group of processes unlike every other.
func NewLimitUnit(profile string) string {
	id := strings.ReplaceAll(string(parts.NewID()), "-", "")
	return "cortex-" + profile + "-" + id[len(id)-8:]
}

// waitingProgram is a process that waits for its limits before it becomes the program.
type waitingProgram struct {
	cmd           *exec.Cmd
	gate          *os.File
	signals       chan os.Signal
	keepInterrupt bool
}

// startWaiting starts the process and returns once limits may come onto it.
func startWaiting(p LimitedProgram) (*waitingProgram, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	gate, open, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	heard, ready, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, gate.Close(), open.Close())
	}
	cmd := exec.Command(self, append([]string{"limits", "enter"}, p.Argv...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = p.Stdin, p.Stdout, p.Stderr, []*os.File{gate, ready}
	cmd.Env = append(os.Environ(), limits.GPUEnvironment(p.Profile.GPUs)...)
	child := &waitingProgram{cmd, open, make(chan os.Signal, 4), p.KeepInterrupt}
	signal.Notify(child.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	err = cmd.Start()
	_, _ = gate.Close(), ready.Close() // the process has its own
	if err != nil {
		signal.Stop(child.signals)
		return nil, errors.Join(fmt.Errorf("start %s: %w", p.Argv[0], err), open.Close(), heard.Close())
	}
	_, err = heard.Read(make([]byte, 1))
	_ = heard.Close()
	if err != nil {
		_ = open.Close()
		return nil, &events.Error{Op: "app.startWaiting", Kind: events.ErrUnavailable, Subject: p.Argv[0], Err: fmt.Errorf("the waiting process ended with exit code %d", child.wait())}
	}
	return child, nil
}

// wait passes signals on until the process ends, and returns its exit code.
func (c *waitingProgram) wait() int {
	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		for {
			select {
			case sig := <-c.signals:
				if sig != syscall.SIGINT || !c.keepInterrupt {
					_ = c.cmd.Process.Signal(sig) // it may have ended
				}
			case <-done:
				return
			}
		}
	}()
	_ = c.cmd.Wait() // the state below has the exit code
	close(done)
	<-finished
	signal.Stop(c.signals)
	if s, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return c.cmd.ProcessState.ExitCode()
}

// RevertLimits reverts a group that a user names; recorded is what the read model has of it.
// ended is true when it was reverted before.
func (s *Service) RevertLimits(ctx context.Context, recorded []model.LimitedGroup, unit string) (r events.LimitsReverted, ended bool, err error) {
	switch {
	case len(recorded) == 0:
		return r, false, &events.Error{Op: "app.RevertLimits", Kind: events.ErrNotFound, Subject: fmt.Sprintf("%q", unit), Err: errors.New("no group of that name is under limits"), Hint: "see 'cortex limits list'"}
	case recorded[0].Reverted != nil:
		return *recorded[0].Reverted, true, nil
	}
	r, err = s.revertLimits(ctx, events.LimitsRevert{Unit: unit, Reason: events.RevertAsked})
	return r, false, err
}
