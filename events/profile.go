package events

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Limits are the resources that a group of processes may use. Zero means no limit. JSON names end in
// their unit: _b for bytes, _millis for
// thousandths of a processor.
type Limits struct {
	MemoryBytes    int64 `json:"memory_b,omitempty"`
	CPUMillis      int64 `json:"cpu_millis,omitempty"`
	CPUs           CPUs  `json:"cpus,omitempty"`      // the processors that may be used
	Pids           int64 `json:"pids,omitempty"`      // processes and threads
	IOWeight       int64 `json:"io_weight,omitempty"` // 1 to 10000 as in cgroup v2; the default is 100
	OOMScore       int   `json:"oom_score,omitempty"` // oom_score_adj: -1000 to 1000
	GPUs           GPUs  `json:"gpus,omitempty"`
	GPUMemoryBytes int64 `json:"gpu_memory_b,omitempty"` // of each
}

// CPUs is a list of processors as the kernel writes it: 0-3,6.
type CPUs string

// GPUs is "" for all, "none", or the numbers of some: 0,2.
type GPUs string

// LimitProfile is a named set of limits.
type LimitProfile struct {
	Name string `json:"name"`
	Limits
}

// LimitProfileSet records that a profile has these limits.
type LimitProfileSet struct {
	LimitProfile
}

// LimitsApplied records the limits of a group of processes, and which of the limits the
// machine enforces. It is appended once the
// limits are in effect and before the limited program starts.
type LimitsApplied struct {
	Unit    string        `json:"unit"` // the group's name, unlike every other
	Profile string        `json:"profile"`
	Limits  Limits        `json:"limits"`
	How     string        `json:"how"`               // run or attach
	Backend string        `json:"backend"`           // what enforces
	Target  string        `json:"target"`            // the program, without its arguments, or what was attached to
	Effects []LimitEffect `json:"effects,omitempty"` // one for each limit
	PID     int           `json:"pid,omitempty"`
}

// LimitEffect says how one limit took effect.
type LimitEffect struct {
	Resource string `json:"resource"`         // memory, cpu, cpus, pids, io, oom, gpu, gpu-memory
	Value    string `json:"value"`            // as written to the back end
	Enforced bool   `json:"enforced"`         // false: it is advice, which the program may ignore
	By       string `json:"by,omitempty"`     // the file, property or call that enforces it
	Reason   string `json:"reason,omitempty"` // why it is only advice, or what it does not cover
	Before   string `json:"before,omitempty"` // the value before, which a revert restores
}

// LimitsReverted records that limits are gone. It is appended after a revert on request, or
// when the limiter finds that the group has ended.
type LimitsReverted struct {
	Unit   string     `json:"unit"`
	Reason string     `json:"reason"`              // ended, asked or unattended, see the constants
	Exit   int        `json:"exit_code,omitempty"` // of a program that ended; 128 and the signal's number when one killed it
	Usage  LimitUsage `json:"usage"`
}

// The reasons for which limits are reverted.
const (
	RevertEnded      = "ended"      // the program ended, and its command reported the exit code
	RevertAsked      = "asked"      // a user asked for it
	RevertUnattended = "unattended" // the group ended without its command: the exit code is unknown
)

// LimitsRefused records that a request about limits was refused. No limits of it are in
// effect.
type LimitsRefused struct {
	Unit string `json:"unit,omitempty"`
	Failure
}

// LimitUsage is the measured use of a group; -1 where the back end cannot measure it.
type LimitUsage struct {
	MemoryBytes     int64 `json:"memory_b"`
	MemoryPeakBytes int64 `json:"memory_peak_b"`
	OOMKills        int64 `json:"oom_kills"`
	CPUUs           int64 `json:"cpu_us"`
	ThrottledUs     int64 `json:"throttled_us"`
	Pids            int64 `json:"pids"`
	ForksRefused    int64 `json:"pids_refused"` // forks that the limit refused
}

// UnknownUsage is the usage of a group that cannot be measured.
var UnknownUsage = LimitUsage{-1, -1, -1, -1, -1, -1, -1}

// LimitsRequest asks for exactly one change: a profile to set, limits to apply, or limits
// to revert. The daemon's own user may ask.
type LimitsRequest struct {
	Set    *LimitProfileSet `json:"set,omitempty"`
	Apply  *LimitsApply     `json:"apply,omitempty"`
	Revert *LimitsRevert    `json:"revert,omitempty"`
	// Applied and Reverted are what commands before the limiter filed: facts about limits
	// that they had applied themselves. They decode, and are refused with a hint.
	Applied  *LimitsApplied  `json:"applied,omitempty"`
	Reverted *LimitsReverted `json:"reverted,omitempty"`
}

// The ways in which limits come onto processes.
const (
	LimitsRun    = "run"    // a program that waits for its limits before it starts
	LimitsAttach = "attach" // a process or a unit that runs already
)

// LimitsApply asks for limits on a group of processes.
type LimitsApply struct {
	Unit    string      `json:"unit"` // the name that the group is to have
	Profile string      `json:"profile"`
	Limits  Limits      `json:"limits"`
	How     string      `json:"how"`               // run or attach
	Backend string      `json:"backend,omitempty"` // "" is the best that the machine has
	Target  string      `json:"target"`            // as in [LimitsApplied]
	Process *ProcessRef `json:"process,omitempty"` // nil for a unit of systemd
}

// ProcessRef names one process also when its number is used again later.
type ProcessRef struct {
	PID        int    `json:"pid"`
	StartTicks uint64 `json:"start_ticks"` // since the boot: field 22 of /proc/PID/stat
}

// LimitsRevert asks for the end of limits.
type LimitsRevert struct {
	Unit   string `json:"unit"`
	Reason string `json:"reason"` // ended or asked
	Exit   int    `json:"exit_code,omitempty"`
}

// Bounds of the values in a profile.
const (
	MaxLimitName   = 40
	MaxIOWeight    = 10_000
	MaxOOMScore    = 1_000
	MinLimitMemory = 1 << 20
	MaxLimitCPU    = 10_000_000 // ten thousand processors
	maxCPUsBytes   = 256
)

var (
	limitNamePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`) })
	limitUnitPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9:_.@-]+$`) })
	gpuListPattern   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(none|[0-9]{1,3}(,[0-9]{1,3}){0,63})$`) })
)

// Indexes returns the numbers; some is false when all may be used.
func (g GPUs) Indexes() (list []int, some bool) {
	if g == "" {
		return nil, false
	}
	list = []int{}
	if g == "none" {
		return list, true
	}
	for word := range strings.SplitSeq(string(g), ",") {
		if n, err := strconv.Atoi(word); err == nil {
			list = append(list, n)
		}
	}
	return list, true
}

// Indexes returns the processors in the order of the list, or an error when c is not a
// list. The highest number is 4095.
func (c CPUs) Indexes() ([]int, error) {
	if len(c) > maxCPUsBytes {
		return nil, fmt.Errorf("the processor list has %d bytes; at most %d are allowed", len(c), maxCPUsBytes)
	}
	var list []int
	for part := range strings.SplitSeq(string(c), ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		a, err := strconv.ParseUint(from, 10, 12)
		b, err2 := strconv.ParseUint(to, 10, 12)
		if err := errors.Join(err, err2); err != nil || a > b {
			return nil, fmt.Errorf("invalid list of processors %q: write for example 0-3,6", string(c))
		}
		for n := a; n <= b; n++ {
			list = append(list, int(n))
		}
	}
	return list, nil
}

// Validate checks the limits' ranges.
func (l Limits) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(l.MemoryBytes == 0 || l.MemoryBytes >= MinLimitMemory, "memory of %d bytes is less than %d", l.MemoryBytes, MinLimitMemory)
	bad(l.CPUMillis == 0 || l.CPUMillis >= 10 && l.CPUMillis <= MaxLimitCPU, "%d thousandths of a processor are not within 10 and %d", l.CPUMillis, MaxLimitCPU)
	bad(l.Pids >= 0 && l.Pids <= 1<<22, "%d processes are not within 1 and %d", l.Pids, 1<<22)
	bad(l.IOWeight >= 0 && l.IOWeight <= MaxIOWeight, "io weight %d is not within 1 and %d", l.IOWeight, MaxIOWeight)
	bad(l.OOMScore >= -MaxOOMScore && l.OOMScore <= MaxOOMScore, "oom score %d is not within %d and %d", l.OOMScore, -MaxOOMScore, MaxOOMScore)
	bad(l.GPUMemoryBytes >= 0, "gpu memory of %d bytes is negative", l.GPUMemoryBytes)
	bad(l.GPUs == "" || gpuListPattern().MatchString(string(l.GPUs)), "%q is neither none nor a list of gpus", string(l.GPUs))
	if l.CPUs != "" {
		_, err := l.CPUs.Indexes()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Validate checks name and limits.
func (p LimitProfile) Validate() error {
	if !limitNamePattern().MatchString(p.Name) || len(p.Name) > MaxLimitName {
		return fmt.Errorf("invalid profile name %q: use small letters, digits and dashes, at most %d", p.Name, MaxLimitName)
	}
	return p.Limits.Validate()
}

// Kind implements [Fact].
func (*LimitProfileSet) Kind() Kind { return KindLimitProfileSet }

// Kind implements [Fact].
func (*LimitsApplied) Kind() Kind { return KindLimitsApplied }

// Kind implements [Fact].
func (*LimitsReverted) Kind() Kind { return KindLimitsReverted }

// Kind implements [Fact].
func (*LimitsRefused) Kind() Kind { return KindLimitsRefused }

func (*LimitProfileSet) fact()       {}
func (*LimitProfileSet) standalone() {}
func (*LimitsApplied) fact()         {}
func (*LimitsApplied) standalone()   {}
func (*LimitsReverted) fact()        {}
func (*LimitsReverted) standalone()  {}
func (*LimitsRefused) fact()         {}
func (*LimitsRefused) standalone()   {}

// Kind implements [Request].
func (*LimitsRequest) Kind() Kind { return KindLimitsRequested }

// MayChangeMachine implements [Request]: no package changes.
func (*LimitsRequest) MayChangeMachine() bool { return false }

// Validate implements [Request].
func (r *LimitsRequest) Validate() error {
	fail := func(err error, hint string) error {
		return &Error{Op: "events.LimitsRequest.Validate", Kind: ErrUsage, Subject: string(KindLimitsRequested), Err: err, Hint: hint}
	}
	if r.Applied != nil || r.Reverted != nil {
		return fail(errors.New("the command is older than the daemon, which applies limits itself now; nothing was recorded"), "install the same version of the command and the daemon, and run the command again")
	}
	var err error
	switch {
	case r.Set != nil && r.Apply == nil && r.Revert == nil:
		err = r.Set.Validate()
	case r.Set == nil && r.Apply != nil && r.Revert == nil:
		err = r.Apply.Validate()
	case r.Set == nil && r.Apply == nil && r.Revert != nil:
		err = r.Revert.Validate()
	default:
		err = errors.New("a request must do exactly one of these: set a profile, apply limits, revert limits")
	}
	if err != nil {
		return fail(err, "")
	}
	return nil
}

// Validate checks names, ranges, and that a process is named where one is needed.
func (a *LimitsApply) Validate() error {
	err := errors.Join(validUnit(a.Unit), a.Limits.Validate(), checkLengths(a.Profile, a.Backend, a.Target))
	switch {
	case a.How != LimitsRun && a.How != LimitsAttach:
		err = errors.Join(err, fmt.Errorf("invalid way to apply limits %q: want %s or %s", a.How, LimitsRun, LimitsAttach))
	case a.Process == nil && (a.How == LimitsRun || strings.Trim(a.Target, "0123456789") == ""):
		err = errors.Join(err, errors.New("the process is missing"))
	case a.Process != nil && (a.Process.PID <= 1 || a.Process.StartTicks == 0):
		err = errors.Join(err, fmt.Errorf("invalid process %d", a.Process.PID))
	case a.Process != nil && a.How == LimitsAttach && a.Target != strconv.Itoa(a.Process.PID):
		err = errors.Join(err, fmt.Errorf("the target %q is not the process %d", a.Target, a.Process.PID))
	}
	return err
}

// Validate checks the name and the reason.
func (r *LimitsRevert) Validate() error {
	if r.Reason != RevertEnded && r.Reason != RevertAsked {
		return fmt.Errorf("invalid reason %q: want %s or %s", r.Reason, RevertEnded, RevertAsked)
	}
	return validUnit(r.Unit)
}

func validUnit(u string) error {
	if !limitUnitPattern().MatchString(u) || len(u) > MaxPackageNameBytes {
		return fmt.Errorf("invalid name of a group of processes: %q", u)
	}
	return nil
}

func checkLengths(texts ...string) error {
	for _, t := range texts {
		if len(t) > MaxPathBytes {
			return fmt.Errorf("a text has %d bytes; at most %d are allowed", len(t), MaxPathBytes)
		}
	}
	return nil
}

func (*LimitsRequest) request() {}
