package limits

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// LaunchSpec is what a process does to itself before it becomes the limited program.
type LaunchSpec struct {
	Groups   []string          `json:"groups,omitempty"` // files that take the number of a process
	Rlimits  map[string]uint64 `json:"rlimits,omitempty"`
	CPUs     []int             `json:"cpus,omitempty"`
	OOMScore int               `json:"oom_score,omitempty"`
	Env      map[string]string `json:"env,omitempty"`
	Launcher []string          `json:"-"` // starts the process that enters; empty starts it directly
	// WaitForGo makes it wait, before the program, for one byte on file descriptor 3; the
	// file's end instead ends it.
	WaitForGo bool `json:"gate,omitempty"`
}

// gateFD is the file descriptor of [LaunchSpec.WaitForGo].
const gateFD = 3

// rlimits by the names they have in an [LaunchSpec].
var rlimitResources = map[string]int{"as": unix.RLIMIT_AS, "nproc": unix.RLIMIT_NPROC}

// Command is the argument vector that starts argv under the entry: self is the
// argument vector of the program that calls [ApplyAndExec] with the rest.
func (e LaunchSpec) Command(self, argv []string) ([]string, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode the entry: %w", err)
	}
	out := append(append([]string{}, e.Launcher...), self...)
	return append(append(out, string(data)), argv...), nil
}

// ApplyAndExec puts this process under the limits of an encoded [LaunchSpec], args[0], and makes
// it become the program args[1:]. It returns only when that failed, and then the
// process must end: some limits may be on it. A program that is not there is
// ErrNotFound.
func ApplyAndExec(args []string) error {
	var e LaunchSpec
	if len(args) < 2 {
		return &events.Error{Op: "limits.Enter", Kind: events.ErrUsage, Err: errors.New("there is no program to start")}
	}
	if err := json.Unmarshal([]byte(args[0]), &e); err != nil {
		return &events.Error{Op: "limits.Enter", Kind: events.ErrUsage, Subject: "entry", Err: err}
	}
	path, err := exec.LookPath(args[1])
	if err != nil {
		return &events.Error{Op: "limits.Enter", Kind: events.ErrNotFound, Subject: args[1], Err: err}
	}
	if err := e.waitForGo(); err != nil {
		return err
	}
	env := e.environment(os.Environ())
	runtime.LockOSThread() // processors are a thread's, and exec keeps those of the one that calls it
	for _, file := range e.Groups {
		if err := os.WriteFile(file, []byte("0"), 0); err != nil {
			return fmt.Errorf("enter the control group: %w", err)
		}
	}
	if e.OOMScore != 0 {
		if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(e.OOMScore)), 0); err != nil {
			return fmt.Errorf("set the oom score: %w", err)
		}
	}
	if err := setAffinity(0, e.CPUs); err != nil {
		return err
	}
	for name, n := range e.Rlimits {
		if err := unix.Setrlimit(rlimitResources[name], &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("set the limit %s: %w", name, err)
		}
	}
	return fmt.Errorf("start %s: %w", path, unix.Exec(path, args[1:], env))
}

// waitForGo until whoever started this lets it go on.
func (e LaunchSpec) waitForGo() error {
	if !e.WaitForGo {
		return nil
	}
	f := os.NewFile(gateFD, "gate")
	if _, err := f.Read(make([]byte, 1)); err != nil {
		return &events.Error{Op: "limits.Enter", Kind: events.ErrCancelled, Err: errors.New("the command that started it gave up")}
	}
	return f.Close()
}

// environment is env with what the entry sets.
func (e LaunchSpec) environment(env []string) []string {
	var out []string
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if _, set := e.Env[name]; !set {
			out = append(out, kv)
		}
	}
	for name, v := range e.Env {
		out = append(out, name+"="+v)
	}
	return out
}

func setAffinity(pid int, list []int) error {
	if len(list) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, n := range list {
		set.Set(n)
	}
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		return fmt.Errorf("bind to processors: %w", err)
	}
	return nil
}
