package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"cortex/consumers/apt"
	"cortex/consumers/keeper"
	"cortex/events"
)

// Restoring is what a restore step needs in another process: the step, and the image
// from before the transaction, by its name in the vault.
type Restoring struct {
	Step events.Step   `json:"step"`
	Base events.Digest `json:"base"`
}

// Keeper is a keeper that restores through a worker and does everything else itself.
type Keeper struct {
	*keeper.Keeper
	start   apt.Start
	program string // cortex
	dir     string // for what the other process reads
}

// NewKeeper returns a keeper whose restores are carried out by the program cortex
// where start starts it; dir is a directory that both can use.
func NewKeeper(k *keeper.Keeper, start apt.Start, program, dir string) *Keeper {
	return &Keeper{k, start, program, dir}
}

// Restore carries out a restore step; see [keeper.Keeper.Restore]. When ctx ends it
// goes on, and nobody waits for it.
func (k *Keeper) Restore(ctx context.Context, step events.Step, base keeper.Image) error {
	digest, err := k.Save(base)
	if err != nil {
		return err
	}
	b, err := json.Marshal(Restoring{step, digest})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return unavailable(err)
	}
	path := filepath.Join(k.dir, "restore.json") // one transaction at a time
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return unavailable(err)
	}
	var out bytes.Buffer
	child, err := k.start(&exec.Cmd{
		Path: k.program, Args: []string{"cortex", "worker", "restore", path}, Dir: "/", Stdout: &out,
		Env: append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}, inherited()...),
	})
	if err != nil {
		return unavailable(err)
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
	return unavailable(fmt.Errorf("restoring ended with %w", err))
}

// inherited are our own settings, for what we have others run for us.
func inherited() []string {
	var env []string
	for _, name := range []string{"CORTEX_STATE_DIR", "CORTEX_ROOT"} {
		if v := os.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func unavailable(err error) error {
	return &events.Error{Op: "worker.Restore", Kind: events.ErrUnavailable, Subject: "worker", Err: err, Hint: "see 'journalctl -u cortex-worker'"}
}

// ReadRestoring reads what [Keeper.Restore] wrote.
func ReadRestoring(path string) (Restoring, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Restoring{}, unavailable(err)
	}
	var r Restoring
	if err := json.Unmarshal(b, &r); err != nil {
		return r, unavailable(err)
	}
	if r.Step.Op != events.OpRestore {
		return r, unavailable(errors.New("it is no restore step"))
	}
	return r, nil
}
