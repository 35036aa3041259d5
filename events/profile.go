package events

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Limits are the resources that a group of processes may use. Zero is no limit. Names
// end in their unit: _b bytes, _millis thousandths of a processor.
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

// LimitProfileSet records a new or changed limits profile.
type LimitProfileSet struct {
	LimitProfile
}

// LimitsApplied records that limits apply to a group of processes, and which of them
// the machine enforces. It is appended before the limited program starts.
type LimitsApplied struct {
	Unit    string        `json:"unit"` // the unique name of the group
	Profile string        `json:"profile"`
	Limits  Limits        `json:"limits"`
	How     string        `json:"how"`               // run or attach
	Backend string        `json:"backend"`           // the mechanism that enforces them
	Target  string        `json:"target"`            // the program without its arguments, or the process that the limits are attached to
	Effects []LimitEffect `json:"effects,omitempty"` // one for each limit
	PID     int           `json:"pid,omitempty"`
}

// LimitEffect is the result of applying one limit.
type LimitEffect struct {
	Resource string `json:"resource"`         // memory, cpu, cpus, pids, io, oom, gpu, gpu-memory
	Value    string `json:"value"`            // as given
	Enforced bool   `json:"enforced"`         // false: the program may ignore it
	By       string `json:"by,omitempty"`     // the file, property or call that enforces it
	Reason   string `json:"reason,omitempty"` // why it is not enforced, or not completely
	Before   string `json:"before,omitempty"` // the previous value, to restore it
}

// LimitsReverted records that limits no longer apply: they were removed, or the program
// ended.
type LimitsReverted struct {
	Unit   string     `json:"unit"`
	Reason string     `json:"reason"`              // ended or asked
	Exit   int        `json:"exit_code,omitempty"` // of the program; 128 plus the signal's number after a signal
	Usage  LimitUsage `json:"usage"`
}

// LimitUsage is the measured resource use of a group; -1 is unknown.
type LimitUsage struct {
	MemoryBytes     int64 `json:"memory_b"`
	MemoryPeakBytes int64 `json:"memory_peak_b"`
	OOMKills        int64 `json:"oom_kills"`
	CPUUs           int64 `json:"cpu_us"`
	ThrottledUs     int64 `json:"throttled_us"`
	Pids            int64 `json:"pids"`
	ForksRefused    int64 `json:"pids_refused"` // forks that the limit refused
}

// UnknownUsage is a usage without any measured value.
var UnknownUsage = LimitUsage{-1, -1, -1, -1, -1, -1, -1}

// LimitsRequest asks to record exactly one of its facts. The user who runs the daemon
// may send it, and users who may change the machine.
type LimitsRequest struct {
	Set      *LimitProfileSet `json:"set,omitempty"`
	Applied  *LimitsApplied   `json:"applied,omitempty"`
	Reverted *LimitsReverted  `json:"reverted,omitempty"`
}

// The bounds of a profile's values.
const (
	MaxLimitName   = 40
	MaxIOWeight    = 10_000
	MaxOOMScore    = 1_000
	MinLimitMemory = 1 << 20
	MaxLimitCPU    = 10_000_000 // ten thousand processors
	maxLimitEffect = 16
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

// Indexes returns the processors of the list in its order. The highest number is 4095.
func (c CPUs) Indexes() ([]int, error) {
	if len(c) > maxCPUsBytes {
		return nil, fmt.Errorf("the processor list has %d bytes, at most %d are allowed", len(c), maxCPUsBytes)
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
			return nil, fmt.Errorf("invalid processor list %q; use numbers and ranges, such as 0-3,6", string(c))
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
	bad(l.CPUMillis == 0 || l.CPUMillis >= 10 && l.CPUMillis <= MaxLimitCPU, "%d thousandths of a processor are not between 10 and %d", l.CPUMillis, MaxLimitCPU)
	bad(l.Pids >= 0 && l.Pids <= 1<<22, "%d processes are not between 1 and %d", l.Pids, 1<<22)
	bad(l.IOWeight >= 0 && l.IOWeight <= MaxIOWeight, "io weight %d is not between 1 and %d", l.IOWeight, MaxIOWeight)
	bad(l.OOMScore >= -MaxOOMScore && l.OOMScore <= MaxOOMScore, "oom score %d is not between %d and %d", l.OOMScore, -MaxOOMScore, MaxOOMScore)
	bad(l.GPUMemoryBytes >= 0, "gpu memory of %d bytes is negative", l.GPUMemoryBytes)
	bad(l.GPUs == "" || gpuListPattern().MatchString(string(l.GPUs)), "invalid gpu list %q; use none, or numbers such as 0,2", string(l.GPUs))
	if l.CPUs != "" {
		_, err := l.CPUs.Indexes()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Validate checks name and limits.
func (p LimitProfile) Validate() error {
	if !limitNamePattern().MatchString(p.Name) || len(p.Name) > MaxLimitName {
		return fmt.Errorf("invalid profile name %q; use lower-case letters, digits and dashes, at most %d characters", p.Name, MaxLimitName)
	}
	return p.Limits.Validate()
}

// Kind implements [Fact].
func (*LimitProfileSet) Kind() Kind { return KindLimitProfileSet }

// Kind implements [Fact].
func (*LimitsApplied) Kind() Kind { return KindLimitsApplied }

// Kind implements [Fact].
func (*LimitsReverted) Kind() Kind { return KindLimitsReverted }

func (*LimitProfileSet) fact()       {}
func (*LimitProfileSet) standalone() {}
func (*LimitsApplied) fact()         {}
func (*LimitsApplied) standalone()   {}
func (*LimitsReverted) fact()        {}
func (*LimitsReverted) standalone()  {}

// Fact returns the one fact of the request, nil when there is not exactly one.
func (r *LimitsRequest) Fact() Fact {
	switch {
	case r.Set != nil && r.Applied == nil && r.Reverted == nil:
		return r.Set
	case r.Set == nil && r.Applied != nil && r.Reverted == nil:
		return r.Applied
	case r.Set == nil && r.Applied == nil && r.Reverted != nil:
		return r.Reverted
	}
	return nil
}

// Kind implements [Request].
func (*LimitsRequest) Kind() Kind { return KindLimitsRequested }

// MayChangeMachine implements [Request]: no package changes.
func (*LimitsRequest) MayChangeMachine() bool { return false }

// Validate implements [Request].
func (r *LimitsRequest) Validate() error {
	err := errors.New("set exactly one of set, applied and reverted")
	switch f := r.Fact().(type) {
	case *LimitProfileSet:
		err = f.Validate()
	case *LimitsApplied:
		err = errors.Join(validUnit(f.Unit), f.Limits.Validate(), checkLengths(f.Profile, f.How, f.Backend, f.Target))
		if len(f.Effects) > maxLimitEffect {
			err = errors.Join(err, fmt.Errorf("%d effects, at most %d are allowed", len(f.Effects), maxLimitEffect))
		}
		for _, e := range f.Effects {
			err = errors.Join(err, checkLengths(e.Resource, e.Value, e.By, e.Reason, e.Before))
		}
	case *LimitsReverted:
		err = errors.Join(validUnit(f.Unit), checkLengths(f.Reason))
	}
	if err != nil {
		return &Error{Op: "events.LimitsRequest.Validate", Kind: ErrUsage, Err: err}
	}
	return nil
}

func validUnit(u string) error {
	if !limitUnitPattern().MatchString(u) || len(u) > MaxPackageNameBytes {
		return fmt.Errorf("invalid name %q of a group of processes", u)
	}
	return nil
}

func checkLengths(texts ...string) error {
	for _, t := range texts {
		if len(t) > MaxPathBytes {
			return fmt.Errorf("a text has %d bytes, at most %d are allowed", len(t), MaxPathBytes)
		}
	}
	return nil
}

func (*LimitsRequest) request() {}
