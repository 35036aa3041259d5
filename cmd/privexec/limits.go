package privexec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/limits"
	"cortex/events"
)

// LimitsJob is a change of limits for another process: limits to apply for an actor, or a
// group to revert.
type LimitsJob struct {
	Apply  *events.LimitsApply `json:"apply,omitempty"`
	Actor  events.Actor        `json:"actor,omitzero"`
	Revert *limits.Group       `json:"revert,omitempty"`
}

// Run performs the job and returns the applied limits.
func (j LimitsJob) Run(ctx context.Context, m *limits.Machine) (events.LimitsApplied, error) {
	if j.Apply != nil {
		return m.Apply(ctx, *j.Apply, j.Actor)
	}
	return events.LimitsApplied{}, m.Revert(ctx, *j.Revert)
}

// LimitsMachine is a machine that applies and reverts limits through the worker. It reads groups
// and notes itself.
type LimitsMachine struct {
	*limits.Machine
	start   apt.StartFunc
	program string // path of cortex
	workDir string // both processes can use it
}

// NewLimitsMachine returns a machine that changes limits by running program, the cortex executable,
// through start. Both processes must be able to use workDir.
func NewLimitsMachine(m *limits.Machine, start apt.StartFunc, program, workDir string) *LimitsMachine {
	return &LimitsMachine{m, start, program, workDir}
}

// Apply is [limits.Machine.Apply] in the worker.
func (l *LimitsMachine) Apply(ctx context.Context, a events.LimitsApply, who events.Actor) (events.LimitsApplied, error) {
	return l.do(ctx, LimitsJob{Apply: &a, Actor: who})
}

// Revert is [limits.Machine.Revert] in the worker.
func (l *LimitsMachine) Revert(ctx context.Context, g limits.Group) error {
	_, err := l.do(ctx, LimitsJob{Revert: &g})
	return err
}

// do runs a job in the worker. When ctx ends it kills the process of the job; the note of
// the job records which limits it began to apply.
func (l *LimitsMachine) do(ctx context.Context, j LimitsJob) (applied events.LimitsApplied, err error) {
	b, err := json.Marshal(j)
	if err != nil {
		return applied, err
	}
	if err := os.MkdirAll(l.workDir, 0o700); err != nil {
		return applied, limitsError(err)
	}
	path := filepath.Join(l.workDir, "limits.json") // one job at a time
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return applied, limitsError(err)
	}
	defer os.Remove(path)
	var out bytes.Buffer
	child, err := l.start(&exec.Cmd{
		Path: l.program, Args: []string{"cortex", "worker", "limits", path}, Dir: "/", Stdout: &out,
		Env: append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}, inheritedEnv()...),
	})
	if err != nil {
		return applied, limitsError(err)
	}
	stop := context.AfterFunc(ctx, child.Kill)
	err = child.Wait()
	stop()
	var f events.Failure
	switch {
	case err == nil:
		err = json.Unmarshal(out.Bytes(), &applied)
		return applied, err
	case ctx.Err() != nil:
		return applied, ctx.Err()
	case json.Unmarshal(out.Bytes(), &f) == nil && f.Message != "":
		return applied, f.AsError()
	}
	return applied, limitsError(fmt.Errorf("change limits: %w", err))
}

func limitsError(err error) error {
	return &events.Error{Op: "privexec.LimitsMachine", Kind: events.ErrUnavailable, Subject: "worker", Err: err, Hint: "see 'journalctl -u cortex-worker'"}
}

// ReadLimitsJob reads the job that a [LimitsMachine] wrote.
func ReadLimitsJob(path string) (j LimitsJob, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return j, limitsError(err)
	}
	if err := json.Unmarshal(b, &j); err != nil {
		return j, limitsError(err)
	}
	if (j.Apply == nil) == (j.Revert == nil) {
		return j, limitsError(errors.New("the job is neither to apply nor to revert limits"))
	}
	return j, nil
}
