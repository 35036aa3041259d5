package limits_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cortex/consumers/machine/limits"
	"cortex/events"
)

// each runs a test on every back end of this machine that has control groups.
func each(t *testing.T, root string, f func(t *testing.T, b limits.Backend)) {
	t.Helper()
	n := 0
	for _, name := range limits.BackendNames()[:3] {
		b, err := limits.Detect(limits.Config{Root: root, UID: os.Getuid(), Run: runner(t)}, name)
		if err != nil {
			t.Logf("not here: %v", err)
			continue
		}
		n++
		t.Run(name, func(t *testing.T) { f(t, b) })
	}
	if n == 0 {
		t.Log("this machine has no control groups that can be written: nothing was tried")
	}
}

type outcome struct {
	exit    int
	out     string
	effects []events.LimitEffect
	usage   events.LimitUsage
}

// run runs a program under limits to its end, and reverts them.
func run(t *testing.T, root, backend string, l events.Limits, argv ...string) outcome {
	t.Helper()
	unit := fmt.Sprintf("cortex-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	w := startWaiting(t, limits.GPUEnvironment(l.GPUs), argv...)
	b, err := limits.Detect(limits.Config{Root: root, UID: os.Getuid(), PID: w.cmd.Process.Pid, Run: runner(t)}, backend)
	if err != nil {
		t.Fatal(err)
	}
	effects, err := b.Start(t.Context(), w.placement(unit, l), noNote)
	if err != nil {
		t.Fatal(err)
	}
	applied := events.LimitsApplied{Unit: unit, How: events.LimitsRun, Effects: effects}
	exit, out := w.finish(t, true)
	usage, err := b.Usage(t.Context(), applied)
	if err != nil && b.Name() != limits.Systemd {
		t.Error(err)
	}
	if err := b.Revert(t.Context(), applied); err != nil {
		t.Error(err)
	}
	// Systemd's scope stays for the processes that are left.
	if _, err := b.Usage(t.Context(), applied); !errors.Is(err, events.ErrNotFound) && (b.Name() != limits.Systemd || usage.Pids < 1) {
		t.Errorf("the group is still there: %v", err)
	}
	return outcome{exit: exit, out: strings.TrimSpace(out), effects: effects, usage: usage}
}

func enforced(t *testing.T, o outcome, resource string) bool {
	t.Helper()
	i := slices.IndexFunc(o.effects, func(e events.LimitEffect) bool { return e.Resource == resource })
	if i < 0 {
		t.Fatalf("nothing is told of %s: %+v", resource, o.effects)
	}
	e := o.effects[i]
	if !e.Enforced && e.Reason == "" {
		t.Errorf("%s is advice without a reason", resource)
	}
	return e.Enforced
}

func self(t *testing.T, args ...string) []string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{path}, args...)
}

func TestAProgramThatTakesMoreMemoryThanItsLimitIsKilled(t *testing.T) {
	each(t, "/", func(t *testing.T, b limits.Backend) {
		l := events.Limits{MemoryBytes: 64 << 20}
		if o := run(t, "/", b.Name(), l, self(t, "hog", "16")...); o.exit != 0 || o.out != "took 16" || !enforced(t, o, "memory") {
			t.Errorf("within its limit: %+v", o)
		}
		o := run(t, "/", b.Name(), l, self(t, "hog", "256")...)
		if o.exit != 128+int(unix.SIGKILL) {
			t.Errorf("beyond its limit: %+v", o)
		}
		if o.usage.OOMKills != 1 && b.Name() != limits.Systemd {
			t.Errorf("%d kills are counted", o.usage.OOMKills)
		}
	})
}

func TestAProgramThatSpinsGetsItsShareOfTheProcessor(t *testing.T) {
	each(t, "/", func(t *testing.T, b limits.Backend) {
		o := run(t, "/", b.Name(), events.Limits{CPUMillis: 200}, self(t, "spin", "2s")...)
		got, err := strconv.Atoi(o.out)
		if err != nil || !enforced(t, o, "cpu") {
			t.Fatalf("%+v", o)
		}
		t.Logf("of 2 s a fifth is 400 ms; it got %d ms", got)
		if got > 560 || got < 100 { // quotas are given in pieces of 20 ms per period
			t.Errorf("it got %d ms", got)
		}
	})
}

func TestForksStopAtTheLimit(t *testing.T) {
	each(t, "/", func(t *testing.T, b limits.Backend) {
		o := run(t, "/", b.Name(), events.Limits{Pids: 12}, "sh", "-c", `i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); echo $i $!; done`)
		defer killAll(o.out)
		if !enforced(t, o, "pids") || o.exit == 0 || !strings.Contains(o.out, "ork") {
			t.Fatalf("%+v", o)
		}
		// One is the shell. An entering program of Go has ended its threads.
		if !strings.Contains(o.out, "11 ") || strings.Contains(o.out, "\n12 ") {
			t.Errorf("it forked otherwise than 11 times: %q", o.out)
		}
	})
}

// killAll ends the processes that lines "N PID" name.
func killAll(out string) {
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 2 {
			if pid, err := strconv.Atoi(f[1]); err == nil && pid > 1 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

func TestProcessorsAndOOMScoreAreThoseOfTheProfile(t *testing.T) {
	each(t, "/", func(t *testing.T, b limits.Backend) {
		o := run(t, "/", b.Name(), events.Limits{CPUs: "0", OOMScore: 321, GPUs: "1"}, self(t, "where", "-")...)
		f := strings.Fields(o.out)
		if o.exit != 0 || len(f) != 4 || f[2] != "1" || f[3] != "321" {
			t.Fatalf("%+v", o)
		}
		if enforced(t, o, "cpus") && f[0] != "1" {
			t.Errorf("it may use %s processors", f[0])
		}
	})
}

// gpus makes device files that stand in for two gpus: the devices are the same to
// whoever denies them. Systemd takes only those in /dev, which are made in a machine
// that is thrown away.
func gpus(t *testing.T) (root string, nodes []string, ok bool) {
	t.Helper()
	root = "/"
	if os.Getenv("CORTEX_THROWAWAY") == "" {
		root = t.TempDir()
		for _, dir := range []string{"proc", "sys", "run"} {
			if err := os.Symlink("/"+dir, filepath.Join(root, dir)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(filepath.Join(root, "dev"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	nodes = []string{filepath.Join(root, "dev/nvidia0"), filepath.Join(root, "dev/nvidia1")}
	for i, minor := range []uint32{11, 5} { // kmsg and zero: not one that systemd lets everybody have
		err := unix.Mknod(nodes[i], unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor)))
		var f *os.File
		if err == nil {
			f, err = os.Open(nodes[i])
		}
		if err != nil {
			t.Logf("device files cannot be made or do not work here: %v", err)
			return root, nodes, false
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return root, nodes, true
}

func TestAGPUThatIsNotNamedCannotBeOpened(t *testing.T) {
	root, nodes, ok := gpus(t)
	if !ok {
		return
	}
	each(t, root, func(t *testing.T, b limits.Backend) {
		if b.Name() == limits.Systemd && root != "/" {
			t.Log("only tried in a machine that is thrown away")
			return
		}
		l := events.Limits{GPUs: "1"}
		o := run(t, root, b.Name(), l, self(t, "read", nodes[1])...)
		if o.exit != 0 {
			t.Errorf("the gpu that is named: %+v", o)
		}
		o = run(t, root, b.Name(), l, self(t, "read", nodes[0])...)
		if enforced(t, o, "gpu") != (o.exit == 1 && strings.Contains(o.out, "operation not permitted")) {
			t.Errorf("the other one: %+v", o)
		}
		if !enforced(t, o, "gpu") && b.Name() != limits.CgroupV2 {
			t.Errorf("%s denies devices", b.Name())
		}
	})
}

func TestAnAttachedProcessIsLimitedAndFreedAgain(t *testing.T) {
	for _, name := range limits.BackendNames()[1:] {
		b, err := limits.Detect(limits.Config{Root: "/", UID: os.Getuid()}, name)
		if err != nil {
			t.Logf("not here: %v", err)
			continue
		}
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "stay", "-")
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			pid := strconv.Itoa(cmd.Process.Pid)
			look := func() string {
				groups, err1 := os.ReadFile("/proc/" + pid + "/cgroup")
				rlimits, err2 := os.ReadFile("/proc/" + pid + "/limits")
				var set unix.CPUSet
				err3 := unix.SchedGetaffinity(cmd.Process.Pid, &set)
				if err := errors.Join(err1, err2, err3); err != nil {
					t.Fatal(err)
				}
				return string(groups) + string(rlimits) + fmt.Sprint(set)
			}
			before := look()
			unit, effects, err := b.Attach(t.Context(), limits.Placement{Unit: fmt.Sprintf("cortex-test-%d-attach", os.Getpid()), Target: pid, PID: cmd.Process.Pid, UID: os.Getuid(), Limits: events.Limits{MemoryBytes: 8 << 30, CPUMillis: 1000}}, noNote)
			if err != nil {
				t.Fatal(err)
			}
			a := events.LimitsApplied{Unit: unit, How: "attach", Target: pid, Effects: effects, PID: cmd.Process.Pid}
			if look() == before {
				t.Error("nothing changed")
			}
			if u, err := b.Usage(t.Context(), a); err != nil || u.MemoryBytes < 0 {
				t.Errorf("usage %+v, %v", u, err)
			}
			if err := b.Revert(t.Context(), a); err != nil {
				t.Error(err)
			}
			if after := look(); after != before {
				t.Errorf("before %s\nafter %s", before, after)
			}
			if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRlimitsLimitTheAddressSpace(t *testing.T) {
	b, err := limits.Detect(limits.Config{Root: "/", UID: os.Getuid()}, limits.Rlimits)
	if err != nil {
		t.Fatal(err)
	}
	l := events.Limits{MemoryBytes: 2 << 30, CPUMillis: 900, Pids: 50, IOWeight: 10, GPUs: "none", GPUMemoryBytes: 1}
	start := func(mib string) (int, string, []events.LimitEffect) {
		w := startWaiting(t, nil, self(t, "hog", mib)...)
		effects, err := b.Start(t.Context(), w.placement("x", l), noNote)
		if err != nil {
			t.Fatal(err)
		}
		exit, out := w.finish(t, true)
		return exit, out, effects
	}
	if exit, out, _ := start("20"); exit != 0 {
		t.Errorf("within its limit: %d %.300s", exit, out)
	}
	exit, out, effects := start("2100")
	if exit == 0 || strings.Contains(out, "took") {
		t.Errorf("beyond its limit: %d %.300s", exit, out)
	}
	tried, err := b.Try(t.Context(), "x", l)
	if err != nil || len(tried) != 6 || len(effects) != 6 {
		t.Errorf("six limits have %d effects, %d when they are tried, %v", len(effects), len(tried), err)
	}
	for _, e := range effects {
		if !e.Enforced && e.Reason == "" || e.Enforced && e.By == "" {
			t.Errorf("%+v does not say why or by what", e)
		}
	}
}

func TestAUnitIsLimitedAndGetsBackWhatItHad(t *testing.T) {
	b, err := limits.Detect(limits.Config{Root: "/", UID: os.Getuid(), Run: runner(t)}, limits.Systemd)
	if err != nil {
		t.Logf("not here: %v", err)
		return
	}
	t.Run(b.Name(), func(t *testing.T) {
		const unit = "cortex-test-attach.service"
		systemctl := func(argv ...string) string {
			out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
			if err != nil {
				t.Fatalf("%q: %v: %s", argv, err, out)
			}
			return string(out)
		}
		look := func() string {
			return systemctl("systemctl", "show", "--property=MemoryMax,CPUQuotaPerSecUSec,TasksMax", unit)
		}
		systemctl("systemd-run", "--unit="+unit, "--property=MemoryMax=300M", "--property=CPUQuota=70%", "sleep", "1000")
		defer systemctl("systemctl", "stop", unit)
		before := look()
		name, effects, err := b.Attach(t.Context(), limits.Placement{Target: "cortex-test-attach", Limits: events.Limits{MemoryBytes: 100 << 20, CPUMillis: 200, Pids: 9}}, noNote)
		if err != nil {
			t.Fatal(err)
		}
		a := events.LimitsApplied{Unit: name, How: "attach", Target: "cortex-test-attach", Effects: effects}
		if got := look(); !strings.Contains(got, "MemoryMax=104857600") || !strings.Contains(got, "CPUQuotaPerSecUSec=200ms") || !strings.Contains(got, "TasksMax=9\n") {
			t.Errorf("within limits: %s", got)
		}
		if u, err := b.Usage(t.Context(), a); err != nil || u.Pids != 1 {
			t.Errorf("%+v, %v", u, err)
		}
		if err := b.Revert(t.Context(), a); err != nil {
			t.Error(err)
		}
		if after := look(); after != before {
			t.Errorf("before %s\nafter %s", before, after)
		}
		if _, _, err := b.Attach(t.Context(), limits.Placement{Target: "nonesuch", Limits: events.Limits{Pids: 9}}, noNote); !errors.Is(err, events.ErrNotFound) {
			t.Errorf("a unit that is not there: %v", err)
		}
	})
}

func TestAProgramWaitsForItsCommand(t *testing.T) {
	for _, start := range []bool{false, true} {
		w := startWaiting(t, nil, "echo", "started")
		if exit, out := w.finish(t, start); (exit == 0 && out == "started\n") != start {
			t.Errorf("let go %v: exit %d, %s", start, exit, out)
		}
	}
}
