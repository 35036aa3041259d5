package limits

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
)

func TestParseHierarchies(t *testing.T) {
	cmpHierarchies := cmp.AllowUnexported(hierarchy{})
	for name, c := range map[string]struct {
		mounts, groups string
		want           map[string]hierarchy
	}{
		"cgroup v2 of a session": {
			"31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate",
			"0::/user.slice/session-2.scope",
			map[string]hierarchy{"": {"/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/session-2.scope"}},
		},
		"two controllers in one hierarchy": {
			"40 32 0:35 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
			"4:cpu,cpuacct:/a/b",
			map[string]hierarchy{
				"cpu":     {"/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/a/b"},
				"cpuacct": {"/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct/a/b"},
			},
		},
		"a container sees its own part only": {
			"40 32 0:35 /docker/1 /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids",
			"4:pids:/docker/1/in",
			map[string]hierarchy{"pids": {"/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids/in"}},
		},
		"a group outside the mount counts as its root": {
			"40 32 0:35 /docker/1 /sys/fs/cgroup/pids ro - cgroup cgroup rw,pids",
			"4:pids:/elsewhere",
			map[string]hierarchy{"pids": {"/sys/fs/cgroup/pids", "/sys/fs/cgroup/pids"}},
		},
		"nothing": {"", "", map[string]hierarchy{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := parseHierarchies([]byte(c.mounts), []byte(c.groups))
			if d := cmp.Diff(c.want, got, cmpHierarchies); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func FuzzHierarchies(f *testing.F) {
	f.Add("31 24 0:27 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw", "0::/a")
	f.Add("40 32 0:35 /docker/1 /p ro - cgroup cgroup rw,pids,cpu", "4:pids,cpu:/../..")
	f.Fuzz(func(t *testing.T, mounts, groups string) {
		for _, h := range parseHierarchies([]byte(mounts), []byte(groups)) {
			if h.ownGroup != h.mount && !strings.HasPrefix(h.ownGroup, strings.TrimSuffix(filepath.Clean(h.mount), "/")+"/") && filepath.Clean(h.mount) != h.ownGroup && filepath.Clean(h.mount) != "." {
				t.Fatalf("%q is outside of %q", h.ownGroup, h.mount)
			}
		}
	})
}

func TestRestoreValue(t *testing.T) {
	for _, c := range []struct{ name, shown, want string }{
		{"MemoryMax", "infinity", "infinity"},
		{"MemoryMax", "67108864", "67108864"},
		{"TasksMax", "18446744073709551615", "infinity"},
		{"CPUQuota", "infinity", ""},
		{"CPUQuota", "500ms", "50%"},
		{"CPUQuota", "1.5s", "150%"},
		{"CPUQuota", "1s", "100%"},
		{"CPUQuota", "200us", "0.02%"},
		{"IOWeight", "[not set]", ""},
		{"IOWeight", "50", "50"},
		{"AllowedCPUs", "", ""},
		{"AllowedCPUs", "0-1", "0-1"},
	} {
		if got := (property{name: c.name}).restoreValue(c.shown); got != c.want {
			t.Errorf("%s shown as %q: got %q, want %q", c.name, c.shown, got, c.want)
		}
	}
}

func TestPresetsAreSharesOfUsableResources(t *testing.T) {
	fact := func(key string, n int64) events.HardwareFact {
		return events.HardwareFact{Key: key, Value: events.NumberValue(n)}
	}
	for name, c := range map[string]struct {
		facts       []events.HardwareFact
		memory, cpu int64
		problem     bool
	}{
		"a whole machine":         {[]events.HardwareFact{fact("cpu.threads", 8), fact("memory.total_b", 32<<30)}, 16 << 30, 4000, false},
		"within a control group":  {[]events.HardwareFact{fact("cgroup.cpu_millis", 1500), fact("cgroup.memory_max_b", 4<<30), fact("cpu.threads", 8), fact("memory.total_b", 32<<30)}, 2 << 30, 750, false},
		"a group without a limit": {[]events.HardwareFact{{Key: "cgroup.cpu_millis", Value: events.TextValue("max")}, fact("cpu.threads", 2), fact("memory.total_b", 1<<30)}, 512 << 20, 1000, false},
		"unknown memory":          {facts: []events.HardwareFact{fact("cpu.threads", 2)}, problem: true},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := Presets(c.facts)
			if (err != nil) != c.problem {
				t.Fatal(err)
			}
			if c.problem {
				return
			}
			p, err := FindProfile("batch", nil, list)
			if err != nil || p.MemoryBytes != c.memory || p.CPUMillis != c.cpu {
				t.Errorf("%+v, %v", p, err)
			}
			for _, p := range list {
				if err := p.Validate(); err != nil {
					t.Error(err)
				}
			}
			mine := events.LimitProfile{Name: "batch", Limits: events.Limits{Pids: 3}}
			if p, err := FindProfile("batch", []events.LimitProfile{mine}, list); err != nil || p != mine {
				t.Errorf("a created profile does not hide the preset: %+v, %v", p, err)
			}
		})
	}
}

func TestGPUsAreSplitByTheirNumbers(t *testing.T) {
	nodes := []gpuNode{{path: "ctl", index: -1}, {path: "0", index: 0}, {path: "1", index: 1}}
	for gpus, want := range map[events.GPUs]string{"": "ctl 0 1 |", "none": "| ctl 0 1", "1": "ctl 1 | 0", "0,1": "ctl 0 1 |", "7": "ctl | 0 1"} {
		allowed, denied := splitDevices(nodes, gpus)
		var got []string
		for _, n := range allowed {
			got = append(got, n.path)
		}
		got = append(got, "|")
		for _, n := range denied {
			got = append(got, n.path)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: got %s, want %s", gpus, s, want)
		}
	}
}
