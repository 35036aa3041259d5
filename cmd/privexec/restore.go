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
	"cortex/consumers/machine/confstate"
	"cortex/events"
)

// RestoreJob is the input of a restore step in another process: the step, and the digest
// of the snapshot from before the transaction in the blob store.
type RestoreJob struct {
	Step         events.Step   `json:"step"`
	BaseSnapshot events.Digest `json:"base"`
}

// Restorer takes snapshots in this process and restores them in the worker.
type Restorer struct {
	*confstate.Snapshots
	start   apt.StartFunc
	program string // path of cortex
	workDir string // directory of job files
}

// NewRestorer returns a Restorer that restores by running program, the cortex executable,
// through start. Both processes must be able to use workDir.
func NewRestorer(s *confstate.Snapshots, start apt.StartFunc, program, workDir string) *Restorer {
	return &Restorer{s, start, program, workDir}
}

// Restore performs a restore step in the worker; see [confstate.Snapshots.Restore]. When
// ctx ends Restore returns, but the process continues.
func (r *Restorer) Restore(ctx context.Context, step events.Step, base confstate.Snapshot) error {
	digest, err := r.Save(base)
	if err != nil {
		return err
	}
	b, err := json.Marshal(RestoreJob{step, digest})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.workDir, 0o700); err != nil {
		return unavailableError(err)
	}
	path := filepath.Join(r.workDir, "restore.json") // one transaction at a time
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return unavailableError(err)
	}
	var out bytes.Buffer
	child, err := r.start(&exec.Cmd{
		Path: r.program, Args: []string{"cortex", "worker", "restore", path}, Dir: "/", Stdout: &out,
		Env: append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}, inheritedEnv()...),
	})
	if err != nil {
		return unavailableError(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	_ = os.Remove(path)
	var f events.Failure
	switch {
	case err == nil:
		return nil
	case json.Unmarshal(out.Bytes(), &f) == nil && f.Message != "":
		return f.AsError()
	}
	return unavailableError(fmt.Errorf("restore files: %w", err))
}

// inheritedEnv returns the variables of this process that a job needs.
func inheritedEnv() []string {
	var env []string
	for _, name := range []string{"CORTEX_STATE_DIR", "CORTEX_ROOT"} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func unavailableError(err error) error {
	return &events.Error{Op: "privexec.Restore", Kind: events.ErrUnavailable, Subject: "worker", Err: err, Hint: "see 'journalctl -u cortex-worker'"}
}

// ReadRestoreJob reads the job that a [Restorer] wrote.
func ReadRestoreJob(path string) (RestoreJob, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return RestoreJob{}, unavailableError(err)
	}
	var j RestoreJob
	if err := json.Unmarshal(b, &j); err != nil {
		return j, unavailableError(err)
	}
	if j.Step.Op != events.OpRestore {
		return j, unavailableError(errors.New("the job is not a restore step"))
	}
	return j, nil
}
