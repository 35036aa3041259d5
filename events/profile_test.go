package events_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"cortex/events"
)

func TestCPUsParsesTheKernelsLists(t *testing.T) {
	for list, want := range map[events.CPUs][]int{"0": {0}, "0-2": {0, 1, 2}, "1,3-4,7": {1, 3, 4, 7}, "4095": {4095}} {
		if got, err := list.Indexes(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	for _, list := range []events.CPUs{"", "a", "-1", "1-", "2-1", "0,,1", "0-4096", "0 1", events.CPUs(strings.Repeat("1,", 200) + "1")} {
		if got, err := list.Indexes(); err == nil {
			t.Errorf("%q is read as %v", list, got)
		}
	}
}

func FuzzCPUs(f *testing.F) {
	f.Add("0-3,6")
	f.Add("4095-")
	f.Fuzz(func(t *testing.T, s string) {
		list, err := events.CPUs(s).Indexes()
		if err == nil && (len(list) == 0 || slices.Min(list) < 0 || slices.Max(list) > 4095) {
			t.Fatalf("%q is %v", s, list)
		}
	})
}

func TestLimitsAtTheEdge(t *testing.T) {
	with := func(f func(*events.Limits)) events.Limits {
		var l events.Limits
		f(&l)
		return l
	}
	for name, c := range map[string]struct {
		limits events.Limits
		ok     bool
	}{
		"none":                 {events.Limits{}, true},
		"least memory":         {with(func(l *events.Limits) { l.MemoryBytes = events.MinLimitMemory }), true},
		"too little memory":    {with(func(l *events.Limits) { l.MemoryBytes = events.MinLimitMemory - 1 }), false},
		"negative memory":      {with(func(l *events.Limits) { l.MemoryBytes = -1 }), false},
		"least time":           {with(func(l *events.Limits) { l.CPUMillis = 10 }), true},
		"too little time":      {with(func(l *events.Limits) { l.CPUMillis = 9 }), false},
		"too much time":        {with(func(l *events.Limits) { l.CPUMillis = events.MaxLimitCPU + 1 }), false},
		"negative processes":   {with(func(l *events.Limits) { l.Pids = -1 }), false},
		"greatest weight":      {with(func(l *events.Limits) { l.IOWeight = events.MaxIOWeight }), true},
		"too great a weight":   {with(func(l *events.Limits) { l.IOWeight = events.MaxIOWeight + 1 }), false},
		"least oom score":      {with(func(l *events.Limits) { l.OOMScore = -1000 }), true},
		"too low an oom score": {with(func(l *events.Limits) { l.OOMScore = -1001 }), false},
		"no gpus":              {with(func(l *events.Limits) { l.GPUs = "none" }), true},
		"malformed gpu list":   {with(func(l *events.Limits) { l.GPUs = "0, 1" }), false},
		"negative gpu memory":  {with(func(l *events.Limits) { l.GPUMemoryBytes = -1 }), false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.limits.Validate(); (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestLimitsRequestIsValidated(t *testing.T) {
	set := &events.LimitProfileSet{LimitProfile: events.LimitProfile{Name: "a"}}
	revert := &events.LimitsRevert{Unit: "cortex-a-1", Reason: events.RevertAsked}
	apply := func(change func(*events.LimitsApply)) events.LimitsRequest {
		a := events.LimitsApply{Unit: "cortex-a-1", How: events.LimitsAttach, Target: "41", Process: &events.ProcessRef{PID: 41, StartTicks: 1}}
		change(&a)
		return events.LimitsRequest{Apply: &a}
	}
	for name, c := range map[string]struct {
		request events.LimitsRequest
		ok      bool
	}{
		"a profile":                  {events.LimitsRequest{Set: set}, true},
		"an end":                     {events.LimitsRequest{Revert: revert}, true},
		"a process":                  {apply(func(*events.LimitsApply) {}), true},
		"a unit":                     {apply(func(a *events.LimitsApply) { a.Target, a.Process = "x.service", nil }), true},
		"a program":                  {apply(func(a *events.LimitsApply) { a.How, a.Target = events.LimitsRun, "make" }), true},
		"nothing":                    {events.LimitsRequest{}, false},
		"both":                       {events.LimitsRequest{Set: set, Revert: revert}, false},
		"a name with a path":         {events.LimitsRequest{Revert: &events.LimitsRevert{Unit: "../x", Reason: events.RevertAsked}}, false},
		"a reason of the daemon's":   {events.LimitsRequest{Revert: &events.LimitsRevert{Unit: "x", Reason: events.RevertUnattended}}, false},
		"a profile's name in words":  {events.LimitsRequest{Set: &events.LimitProfileSet{LimitProfile: events.LimitProfile{Name: "a b"}}}, false},
		"a long text":                {apply(func(a *events.LimitsApply) { a.Profile = strings.Repeat("x", events.MaxPathBytes+1) }), false},
		"limits out of range":        {apply(func(a *events.LimitsApply) { a.Limits.Pids = -1 }), false},
		"another way":                {apply(func(a *events.LimitsApply) { a.How = "push" }), false},
		"a program without a child":  {apply(func(a *events.LimitsApply) { a.How, a.Process = events.LimitsRun, nil }), false},
		"a number without a process": {apply(func(a *events.LimitsApply) { a.Process = nil }), false},
		"another process":            {apply(func(a *events.LimitsApply) { a.Target = "42" }), false},
		"the first process":          {apply(func(a *events.LimitsApply) { a.Target, a.Process.PID = "1", 1 }), false},
		"a process without a start":  {apply(func(a *events.LimitsApply) { a.Process.StartTicks = 0 }), false},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.request.Validate()
			if (err == nil) != c.ok || err != nil && !errors.Is(err, events.ErrUsage) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestLimitsRequestOfAnOlderCommandIsRefused decodes what a command filed that had applied
// limits itself.
func TestLimitsRequestOfAnOlderCommandIsRefused(t *testing.T) {
	data, err := os.ReadFile("testdata/retired-limits.requested.v1.json")
	if err != nil {
		t.Fatal(err)
	}
	e := envelope(1, events.MachineSubject("h"))
	e.Kind, e.Data = events.KindLimitsRequested, data
	_, err = events.DecodeRequest(e)
	if !errors.Is(err, events.ErrUsage) || !strings.Contains(err.Error(), "older than the daemon") || !strings.Contains(events.HintOf(err), "same version") {
		t.Errorf("got %v, hint %q", err, events.HintOf(err))
	}
}
