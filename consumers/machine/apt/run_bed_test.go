package apt_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"cortex/consumers/machine"
	"cortex/consumers/machine/apt"
	"cortex/events"
)

func TestRunReportsProgress(t *testing.T) {
	b := newBed(t)
	var mu sync.Mutex
	var told []events.Progress
	result, err := b.Machine.Run(t.Context(), do(events.OpInstall, "toy-app"), machine.RunOptions{Label: "a", OnProgress: func(p events.Progress) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, p)
	}})
	if err != nil {
		t.Fatal(err)
	}
	packages, stages, last := map[string]bool{}, map[events.Stage]bool{}, 0.0
	for _, p := range told {
		packages[p.Package] = true
		stages[p.Stage] = true
		if p.Stage == events.StageApply && p.Percent < last {
			t.Errorf("progress goes back: %+v after %v percent", p, last)
		}
		if p.Stage == events.StageApply {
			last = p.Percent
		}
	}
	for _, name := range []string{"toy-app", "toy-lib", "toy-extra"} {
		if !packages[name] {
			t.Errorf("%s is not in %+v", name, told)
		}
	}
	if !stages[events.StageApply] || last < 90 {
		t.Errorf("it reached %v percent, stages %v", last, stages)
	}
	if result.ExitCode != 0 || result.PID <= 0 || result.Duration <= 0 || !strings.Contains(result.Output, "Setting up toy-app (2.0)") || strings.ContainsAny(result.Output, "\x1b\r") {
		t.Errorf("%+v", result)
	}
	if left, _ := filepath.Glob(filepath.Join(b.work, "*.*")); len(left) != 1 { // the running lock
		t.Errorf("files are left: %v", left)
	}
}

func TestPlanAndRunErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare []string
		step    events.Step
		says    string
	}{
		"preinst":  {nil, do(events.OpInstall, "toy-fail-preinst"), "pre-installation script subprocess returned error exit status 1"},
		"postinst": {nil, do(events.OpInstall, "toy-fail-postinst"), "error processing package toy-fail-postinst (--configure): installed toy-fail-postinst package post-installation script"},
		"prerm":    {[]string{"install", "toy-fail-prerm"}, do(events.OpRemove, "toy-fail-prerm"), "pre-removal script"},
		"postrm":   {[]string{"install", "toy-fail-postrm"}, do(events.OpRemove, "toy-fail-postrm"), "post-removal script"},
		"no way back": {
			[]string{"install", "toy-no-downgrade"}, with(do(events.OpInstall, "toy-no-downgrade=1.0"), downgrade), "pre-installation script",
		},
		"not allowed to downgrade": {[]string{"install", "toy-epoch"}, do(events.OpInstall, "toy-epoch=9.0"), "--allow-downgrades"},
		"no such version":          {nil, do(events.OpInstall, "cowsay=9"), "Version '9' for 'cowsay' was not found"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			if tc.prepare != nil {
				b.apt(tc.prepare...)
			}
			result, err := b.run(tc.step)
			if !errors.Is(err, events.ErrApt) || !strings.Contains(err.Error(), tc.says) || result.ExitCode != 100 {
				t.Errorf("exit %d: %v\n%s", result.ExitCode, err, result.Output)
			}
		})
	}
}

func TestEditedConffilesAreKeptWithoutPrompt(t *testing.T) {
	b := newBed(t)
	b.apt("install", "toy-app=1.0", "toy-lib=1.0")
	b.WriteFile(t, "/etc/toy-app/main.conf", "mine\n")
	b.planAndRun(events.Step{Op: events.OpUpgrade})
	if got := b.ReadFile(t, "/etc/toy-app/main.conf"); got != "mine\n" {
		t.Errorf("the edited file is %q", got)
	}
	registry, err := b.ConffileRegistry(t.Context())
	lines := strings.Split(strings.TrimSpace(registry[events.PackageKey{Name: "toy-app", Arch: "amd64"}]), "\n")
	slices.Sort(lines)
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "/etc/toy-app/main.conf ") || !strings.HasSuffix(lines[2], " obsolete") || err != nil {
		t.Errorf("%q, %v", lines, err)
	}
}

// The helper is another process, which the test below starts.
func TestHelperInstallsSlowly(t *testing.T) {
	root, work := os.Getenv("CORTEX_APT_ROOT"), os.Getenv("CORTEX_APT_WORK")
	if root == "" {
		return
	}
	m := apt.New(apt.Config{Root: root, WorkDir: work})
	_, _ = m.Run(t.Context(), do(events.OpInstall, "toy-slow", "toy-app"), machine.RunOptions{Label: "helper"})
}

func TestAptKeepsRunningWhenProcessIsKilled(t *testing.T) {
	b := newBed(t)
	helper := exec.Command("/proc/self/exe", "-test.run", "^TestHelperInstallsSlowly$")
	helper.Env = append(os.Environ(), "CORTEX_APT_ROOT="+b.Root(), "CORTEX_APT_WORK="+b.work)
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	b.waiting()
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait()

	done := make(chan []string, 1)
	go func() {
		did, err := b.Recover(t.Context())
		if err != nil {
			t.Error(err)
		}
		done <- did
	}()
	select {
	case did := <-done:
		t.Fatalf("the recovery did not wait: %v", did)
	case <-time.After(300 * time.Millisecond): // long enough to look at the lock
	}
	b.WriteFile(t, "/run/toy-slow.go", "")
	if did := <-done; len(did) != 1 || !strings.Contains(did[0], "waited") {
		t.Errorf("%v", did)
	}
	for _, name := range []string{"toy-slow", "toy-app", "toy-lib"} {
		if s := b.inventory()[key(name)]; !s.Installed() {
			t.Errorf("%s is %s", name, s)
		}
	}
}

func TestLockHolder(t *testing.T) {
	b := newBed(t)
	if h, held, err := b.LockHolder(); held || err != nil {
		t.Fatalf("%v holds the lock, %v", h, err)
	}
	other := b.Command("/usr/bin/apt-get", "-y", "install", "toy-slow")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	b.waiting()
	h, held, err := b.LockHolder()
	if err != nil || !held || h.PID != other.Process.Pid || h.Program != "apt-get" {
		t.Errorf("%v %v %v, want process %d", h, held, err, other.Process.Pid)
	}
	var told []machine.LockHolder
	err = b.WaitForLock(t.Context(), time.Millisecond, func(h machine.LockHolder, _ time.Duration) { told = append(told, h) })
	if !errors.Is(err, events.ErrLockBusy) || !strings.Contains(err.Error(), "held by apt-get (process ") || len(told) != 1 {
		t.Errorf("%v, told %v", err, told)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.WaitForLock(ctx, 0, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	// Without apt-get, dpkg continues and holds the other lock.
	if b.Kill("apt-get") != 1 {
		t.Fatal("there was no apt-get")
	}
	_ = other.Wait()
	if h, held, err := b.LockHolder(); err != nil || !held || h.Program != "dpkg" {
		t.Errorf("%v %v %v, want dpkg", h, held, err)
	}
	b.WriteFile(t, "/run/toy-slow.go", "")
	if err := b.WaitForLock(t.Context(), 0, nil); err != nil {
		t.Error(err)
	}
}

func TestReadAndSimulateIgnoreLock(t *testing.T) {
	b := newBed(t)
	_, release := b.slow(t.Context())
	defer release()
	if s := b.inventory()[key("toy-slow")]; s.Status != events.StatusHalfConfigured {
		t.Errorf("in the middle it is %s", s)
	}
	plan, err := b.Simulate(t.Context(), []events.Step{do(events.OpInstall, "cowsay")})
	if err != nil || !slices.Contains(short(plan), "install cowsay 3.03") {
		t.Errorf("%v, %v", short(plan), err)
	}
	if err := b.CheckNames(t.Context(), []events.PackageRef{{Name: "cowsay"}}); err != nil {
		t.Error(err)
	}
	release()
	if err := b.WaitForLock(t.Context(), 0, nil); err != nil {
		t.Error(err)
	}
}

// apt-get waits for a lock by itself. dpkg and apt-mark do not, so Run does.
func TestRunWaitsForLock(t *testing.T) {
	for name, tc := range map[string]struct {
		step events.Step
		want string
	}{
		"install": {do(events.OpInstall, "sl"), "install ok installed 5.02 manual"},
		"hold":    {do(events.OpHold, "cowsay"), "hold ok installed 3.03 manual"},
		"forget":  {do(events.OpPurgeLeftovers, "toy-app"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.apt("install", "cowsay", "toy-app")
			b.apt("remove", "toy-app")
			other := b.Command("/usr/bin/apt-get", "-y", "install", "toy-slow")
			if err := other.Start(); err != nil {
				t.Fatal(err)
			}
			b.waiting()
			done := make(chan error, 1)
			go func() {
				_, err := b.run(tc.step)
				done <- err
			}()
			select {
			case err := <-done:
				t.Fatalf("it did not wait: %v", err)
			case <-time.After(300 * time.Millisecond): // long enough for dpkg to be refused
			}
			b.WriteFile(t, "/run/toy-slow.go", "")
			if err := other.Wait(); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			for _, target := range tc.step.Targets {
				state := b.PackageStates(t)
				if got := state[string(target.Name)+":amd64"] + state[string(target.Name)+":all"]; got != tc.want {
					t.Errorf("%s is %q, want %q", target.Name, got, tc.want)
				}
			}
		})
	}
}

func TestRecoverUnpacksAgain(t *testing.T) {
	b := newBed(t)
	b.apt("install", "toy-c2") // with toy-c3, automatic
	b.cutOff()
	did, err := b.Recover(t.Context())
	if err != nil || len(did) != 2 || !strings.HasPrefix(did[0], "dpkg --force-confdef --force-confold --configure -a") || !strings.HasPrefix(did[1], "apt-get ") {
		t.Fatalf("%q, %v", did, err)
	}
	if s := b.inventory()[key("toy-many")]; !s.Installed() || s.Auto {
		t.Errorf("it is %s", s)
	}
	if out := b.Bed.Run(t, "/bin/sh", "-c", "ls /usr/share/toy-many | grep -c dpkg-new || true"); strings.TrimSpace(out) != "0" {
		t.Errorf("%s temporary files are left", out)
	}
	if did, err := b.Recover(t.Context()); err != nil || len(did) != 0 {
		t.Errorf("a second time: %q, %v", did, err)
	}
}

func TestRecoverReportsUnavailableVersion(t *testing.T) {
	b := newBed(t)
	b.cutOff()
	b.Offer(t, "toy-many=0")
	did, err := b.Recover(t.Context())
	if !errors.Is(err, events.ErrApt) || !strings.Contains(err.Error(), "toy-many") || len(did) != 1 {
		t.Errorf("%q, %v", did, err)
	}
	if s := b.inventory()[key("toy-many")]; s.Status != events.StatusHalfInstalled || s.Flag != events.FlagReinstreq {
		t.Errorf("it is %s", s)
	}
}

// cutOff kills apt and dpkg while they unpack a package with many files.
func (b bed) cutOff() {
	b.t.Helper()
	for range 20 {
		cmd := b.Command("/usr/bin/apt-get", "-y", "install", "toy-many")
		if err := cmd.Start(); err != nil {
			b.t.Fatal(err)
		}
		b.until("the first files", func() bool {
			return b.Exists("/usr/share/toy-many/0100.dpkg-new") || b.Exists("/usr/share/toy-many/0100")
		})
		b.Kill("dpkg", "apt-get")
		_ = cmd.Wait()
		if err := b.WaitForLock(b.t.Context(), 0, nil); err != nil {
			b.t.Fatal(err)
		}
		if b.inventory()[key("toy-many")].Status == events.StatusHalfInstalled {
			return
		}
		b.Bed.Run(b.t, "/usr/bin/dpkg", "--configure", "-a")
		b.apt("purge", "toy-many")
	}
	b.t.Fatal("dpkg was never killed while it unpacked")
}

func TestServiceStartedByScriptDoesNotHoldRunningLock(t *testing.T) {
	for name, prepare := range map[string]func(b bed){
		"by apt-get": func(b bed) {
			if _, err := b.run(do(events.OpInstall, "toy-daemon")); err != nil {
				b.t.Fatal(err)
			}
		},
		"by dpkg": func(b bed) {
			b.Bed.Run(b.t, "/usr/bin/dpkg", "--unpack", "/repo/toy-daemon_1.0_amd64.deb")
			if did, err := b.Recover(b.t.Context()); err != nil || len(did) != 1 {
				b.t.Fatalf("%q, %v", did, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			prepare(b)
			if b.Signal(syscall.Signal(0), "sleep 600") != 1 {
				t.Fatal("the service does not run: the case is empty")
			}
			if _, err := b.run(do(events.OpInstall, "cowsay")); err != nil {
				t.Error(err)
			}
			if did, err := b.Recover(t.Context()); err != nil || len(did) != 0 {
				t.Errorf("%q, %v", did, err)
			}
		})
	}
}

func TestChildEnvironmentIsFixed(t *testing.T) {
	t.Setenv("APT_CONFIG", "/nonexistent/evil.conf")
	t.Setenv("LD_PRELOAD", "/nonexistent/evil.so")
	t.Setenv("DPKG_ROOT", "/nonexistent")
	b := sequentialBed(t)
	b.WriteFile(t, "/etc/apt/apt.conf.d/99env", `DPkg::Pre-Invoke { "env > /tmp/env"; };`+"\n")
	if result, err := b.run(do(events.OpInstall, "cowsay")); err != nil || strings.Contains(result.Output, "LD_PRELOAD") {
		t.Fatalf("%v\n%s", err, result.Output)
	}
	env := b.ReadFile(t, "/tmp/env")
	for _, want := range []string{"LC_ALL=C.UTF-8\n", "DEBIAN_FRONTEND=noninteractive\n", "HOME=/root\n"} {
		if !strings.Contains(env, want) {
			t.Errorf("%q is missing in\n%s", want, env)
		}
	}
	for _, no := range []string{"APT_CONFIG", "LD_PRELOAD", "DPKG_ROOT=/none"} {
		if strings.Contains(env, no) {
			t.Errorf("%s is set:\n%s", no, env)
		}
	}
}

func TestRefreshFetchesLists(t *testing.T) {
	b := newBed(t)
	if b.ListsEmpty() {
		t.Error("a fresh bed has no lists")
	}
	b.Bed.Run(t, "/bin/sh", "-c", "rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin")
	if !b.ListsEmpty() {
		t.Error("lists are left")
	}
	if err := b.CheckNames(t.Context(), []events.PackageRef{{Name: "cowsay"}}); !errors.Is(err, events.ErrNotFound) || !strings.Contains(events.HintOf(err), "apt-get update") {
		t.Errorf("%v: %s", err, events.HintOf(err))
	}
	var stages []events.Stage
	if err := b.Refresh(t.Context(), func(p events.Progress) { stages = append(stages, p.Stage) }); err != nil || b.ListsEmpty() {
		t.Errorf("%v", err)
	}
	if !slices.Equal(stages, []events.Stage{events.StageRefresh}) {
		t.Errorf("told %v", stages)
	}
	b.Bed.Run(t, "/bin/sh", "-c", "rm -rf /repo/*")
	if err := b.Refresh(t.Context(), nil); !errors.Is(err, events.ErrApt) || events.HintOf(err) == "" {
		t.Errorf("without the archive: %v", err)
	}
}
