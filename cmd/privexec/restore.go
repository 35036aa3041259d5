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

// RestoreJob is what a restore step needs in another process: the step, and the image
// from before the transaction, by its name in the vault.
type RestoreJob struct {
	Step         events.Step   `json:"step"`
	BaseSnapshot events.Digest `json:"base"`
}

// Restorer is a keeper that restores through a worker and does everything else itself.
type Restorer struct {
	*confstate.Snapshots
	start   apt.StartFunc
	program string // cortex
	workDir string // for what the other process reads
}

// NewRestorer returns a keeper whose restores are carried out by the program cortex
// where start starts it; dir is a directory that both can use.
func NewRestorer(k *confstate.Snapshots, start apt.StartFunc, program, dir string) *Restorer {
	return &Restorer{k, start, program, dir}
}

// Restore carries out a restore step; see [keeper.Restorer.Restore]. When ctx ends it
// goes on, and nobody waits for it.
func (k *Restorer) Restore(ctx context.Context, step events.Step, base confstate.Snapshot) error {
	digest, err := k.Save(base)
	if err != nil {
		return err
	}
	b, err := json.Marshal(RestoreJob{step, digest})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.workDir, 0o700); err != nil {
		return unavailableError(err)
	}
	path := filepath.Join(k.workDir, "restore.json") // one transaction at a time
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return unavailableError(err)
	}
	var out bytes.Buffer
	child, err := k.start(&exec.Cmd{
		Path: k.program, Args: []string{"cortex", "worker", "restore", path}, Dir: "/", Stdout: &out,
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
	return unavailableError(fmt.Errorf("restoring ended with %w", err))
}

// inheritedEnv are our own settings, for what we have others run for us.
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

// ReadRestoreJob reads what [Restorer.Restore] wrote.
func ReadRestoreJob(path string) (RestoreJob, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return RestoreJob{}, unavailableError(err)
	}
	var r RestoreJob
	if err := json.Unmarshal(b, &r); err != nil {
		return r, unavailableError(err)
	}
	if r.Step.Op != events.OpRestore {
		return r, unavailableError(errors.New("it is no restore step"))
	}
	return r, nil
}
