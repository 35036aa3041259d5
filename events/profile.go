package events

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Limits is what a group of processes may use. What is zero is not limited. Units
// are last in names: _b bytes, _millis thousandths of a processor.
type Limits struct {
	MemoryBytes    int64 `json:"memory_b,omitempty"`
	CPUMillis      int64 `json:"cpu_millis,omitempty"`
	CPUs           CPUs  `json:"cpus,omitempty"`      // the processors that may be used
	Pids           int64 `json:"pids,omitempty"`      // processes and threads
	IOWeight       int64 `json:"io_weight,omitempty"` // 1 to 10000 as in cgroup v2; 100 is everybody's
	OOMScore       int   `json:"oom_score,omitempty"` // oom_score_adj: -1000 to 1000
	GPUs           GPUs  `json:"gpus,omitempty"`
	GPUMemoryBytes int64 `json:"gpu_memory_b,omitempty"` // of each
}

// CPUs is a list of processors as the kernel writes it: 0-3,6.
type CPUs string

// GPUs is "" for all, "none", or the numbers of some: 0,2.
type GPUs string

// LimitProfile is limits under a name.
type LimitProfile struct {
	Name string `json:"name"`
	Limits
}

// LimitProfileSet records that a profile is so from now on. Appended by the intake.
type LimitProfileSet struct {
	LimitProfile
}

// LimitsApplied records that a group of processes is under limits, and which of
// them the machine enforces. Appended by the intake for the command that applied
// them: before the command that is limited starts.
type LimitsApplied struct {
	Unit    string        `json:"unit"` // what it is called from now on, unlike every other
	Profile string        `json:"profile"`
	Limits  Limits        `json:"limits"`
	How     string        `json:"how"`               // run or attach
	Backend string        `json:"backend"`           // what enforces
	Target  string        `json:"target"`            // the program that runs, without its arguments, or what was attached to
	Effects []LimitEffect `json:"effects,omitempty"` // one for each limit
	PID     int           `json:"pid,omitempty"`
}

// LimitEffect is what became of one limit.
type LimitEffect struct {
	Resource string `json:"resource"`         // memory, cpu, cpus, pids, io, oom, gpu, gpu-memory
	Value    string `json:"value"`            // as it was written
	Enforced bool   `json:"enforced"`         // false: it is advice that the program may ignore
	By       string `json:"by,omitempty"`     // the file, property or call that enforces it
	Reason   string `json:"reason,omitempty"` // why it is advice only, or how it falls short
	Before   string `json:"before,omitempty"` // what was there before, for taking it back
}

// LimitsReverted records that limits are gone. Appended by the intake for the
// command that took them away, or whose program ended.
type LimitsReverted struct {
	Unit   string     `json:"unit"`
	Reason string     `json:"reason"`              // ended or asked
	Exit   int        `json:"exit_code,omitempty"` // of a program that ended; 128 and the signal's number when one killed it
	Usage  LimitUsage `json:"usage"`
}

// LimitUsage is what a group used, as far as the back end can tell; -1 is unknown.
type LimitUsage struct {
	MemoryBytes     int64 `json:"memory_b"`
	MemoryPeakBytes int64 `json:"memory_peak_b"`
	OOMKills        int64 `json:"oom_kills"`
	CPUUs           int64 `json:"cpu_us"`
	ThrottledUs     int64 `json:"throttled_us"`
	Pids            int64 `json:"pids"`
	ForksRefused    int64 `json:"pids_refused"` // forks that the limit refused
}

// UnknownUsage is what is told where nothing can be.
var UnknownUsage = LimitUsage{-1, -1, -1, -1, -1, -1, -1}

// LimitsRequest asks for exactly one of its facts to be put on record. Whoever runs
// the daemon, or may change the machine, may.
type LimitsRequest struct {
	Set      *LimitProfileSet `json:"set,omitempty"`
	Applied  *LimitsApplied   `json:"applied,omitempty"`
	Reverted *LimitsReverted  `json:"reverted,omitempty"`
}

// The edges of what a profile may say.
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

// Indexes gives the numbers; some is false when all may be used.
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

// Indexes gives the processors of a list as they stand in it, or an error when it is
// not one. Numbers end at 4095.
func (c CPUs) Indexes() ([]int, error) {
	if len(c) > maxCPUsBytes {
		return nil, fmt.Errorf("a list of processors of %d bytes is more than %d", len(c), maxCPUsBytes)
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
			return nil, fmt.Errorf("%q is no list of processors", string(c))
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
	bad(l.GPUMemoryBytes >= 0, "gpu memory of %d bytes is less than nothing", l.GPUMemoryBytes)
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
		return fmt.Errorf("%q is no name of a profile: small letters, digits and dashes, at most %d", p.Name, MaxLimitName)
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

// Fact gives the one fact that is asked for, or nil.
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
	err := errors.New("exactly one fact is put on record at a time")
	switch f := r.Fact().(type) {
	case *LimitProfileSet:
		err = f.Validate()
	case *LimitsApplied:
		err = errors.Join(validUnit(f.Unit), f.Limits.Validate(), checkLengths(f.Profile, f.How, f.Backend, f.Target))
		if len(f.Effects) > maxLimitEffect {
			err = errors.Join(err, fmt.Errorf("%d effects are more than %d", len(f.Effects), maxLimitEffect))
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
		return fmt.Errorf("%q is no name of a group of processes", u)
	}
	return nil
}

func checkLengths(texts ...string) error {
	for _, t := range texts {
		if len(t) > MaxPathBytes {
			return fmt.Errorf("a text of %d bytes is more than %d", len(t), MaxPathBytes)
		}
	}
	return nil
}

func (*LimitsRequest) request() {}
