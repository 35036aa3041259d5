package apt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"cortex/consumers/machine"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/testbed"
	"cortex/events"
)

func TestMain(m *testing.M) {
	testbed.Main(m, func() error { return goleak.Find() })
}

func setup(t *testing.T) (*testbed.Bed, *apt.Machine) {
	t.Helper()
	bed := testbed.New(t)
	return bed, apt.New(apt.Config{Root: bed.Root(), WorkDir: t.TempDir()})
}

// step parses "install toy-app=1.0 cowsay-".
func step(words string) events.Step {
	f := strings.Fields(words)
	s := events.Step{Op: events.Op(f[0]), AllowDowngrade: true, AllowHeld: true}
	for _, w := range f[1:] {
		name, remove := strings.CutSuffix(w, "-")
		ref, err := events.ParsePackageRef(name)
		if err != nil {
			panic(err)
		}
		s.Targets = append(s.Targets, events.Target{PackageRef: ref, Remove: remove})
	}
	return s
}

func run(t *testing.T, m *apt.Machine, s events.Step) error {
	t.Helper()
	_, err := m.Run(t.Context(), s, machine.RunOptions{Label: "test"})
	return err
}

func inventory(t *testing.T, m *apt.Machine) events.Inventory {
	t.Helper()
	inv, err := m.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// expect applies the changes of a plan to an inventory.
func expect(plan events.Plan, inv events.Inventory) map[string]string {
	out := map[string]string{}
	for k, s := range inv {
		if s.Installed() {
			out[k.String()] = string(s.Version)
		}
	}
	for _, c := range plan.Changes {
		switch c.Action {
		case events.ActionInstall, events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall:
			out[c.PackageKey.String()] = string(c.To)
		case events.ActionRemove, events.ActionPurge:
			delete(out, c.PackageKey.String())
		case events.ActionConfigure, events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual:
		}
	}
	return out
}

// Over random sequences of steps, every plan equals its outcome.
func TestPlanEqualsResultForEachStep(t *testing.T) {
	names := []string{"toy-app", "toy-lib", "toy-extra", "toy-alt", "toy-pair-a", "toy-pair-b", "toy-epoch", "toy-rc", "toy-c1", "toy-c3", "toy-needs2", "toy-prov-a", "toy-g++", "cowsay", "sl", "toy-app=1.0", "toy-lib=1.0", "toy-epoch=9.0", "toy-rc=2.0~rc1"}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			_, m := setup(t)
			rnd := rand.New(rand.NewPCG(seed, 7))
			for range 12 {
				words := []string{"install", "install", "remove", "purge", "upgrade"}[rnd.IntN(5)]
				for range 1 + rnd.IntN(2) {
					name := names[rnd.IntN(len(names))]
					if words != "install" && !strings.HasPrefix(words, "install ") {
						name, _, _ = strings.Cut(name, "=")
					}
					words += " " + name
				}
				s, before := step(words), inventory(t, m)
				plan, err := m.Simulate(t.Context(), []events.Step{s})
				if err != nil {
					if runErr := run(t, m, s); runErr == nil {
						t.Errorf("%s: apt succeeded, but planning failed: %v", words, err)
					}
					continue
				}
				want := expect(plan, before)
				if plan.Empty() {
					continue
				}
				if err := run(t, m, s); err != nil {
					t.Errorf("%s: planning succeeded, but: %v", words, err)
					continue
				}
				if diff := cmp.Diff(want, expect(events.Plan{}, inventory(t, m))); diff != "" {
					t.Errorf("%s (-planned +happened):\n%s", words, diff)
				}
			}
		})
	}
}

func TestSimulateChangesNothing(t *testing.T) {
	t.Parallel()
	bed, m := setup(t)
	bed.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-app=1.0", "toy-lib=1.0", "toy-extra")
	bed.Run(t, "/usr/bin/apt-mark", "auto", "toy-lib", "toy-extra", "toy-app")
	look := func() string {
		return bed.Run(t, "/bin/sh", "-c", "cd /var/lib; find dpkg apt/extended_states -type f ! -name '*lock*' | sort | xargs sha256sum; ls /tmp")
	}
	before := look()
	for _, words := range []string{
		"install toy-extra", // automatic, and the newest: apt would mark it even when it only prints
		"install toy-lib", "install toy-app", "install toy-app=2.0", "remove toy-lib", "purge toy-app", "upgrade", "hold toy-app",
		"install toy-alt", "mark-manual toy-lib", "install toy-fail-postinst", "install toy-virtual",
	} {
		_, _ = m.Simulate(t.Context(), []events.Step{step(words)})
		if diff := cmp.Diff(before, look()); diff != "" {
			t.Fatalf("planning %q changed the machine (-before +after):\n%s", words, diff)
		}
	}
}

func TestInventoryAgreesWithAptTools(t *testing.T) {
	t.Parallel()
	bed, m := setup(t)
	bed.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-app", "cowsay")
	bed.Run(t, "/usr/bin/apt-get", "-y", "remove", "cowsay")
	bed.Run(t, "/usr/bin/apt-mark", "hold", "toy-lib")
	bed.Try("/usr/bin/apt-get", "-y", "install", "toy-fail-postinst")
	got := map[string]string{}
	for k, s := range inventory(t, m) {
		mark := "manual"
		if s.Auto {
			mark = "auto"
		}
		got[string(k.Name)] = strings.Join([]string{string(s.Want), string(s.Flag), string(s.Status), string(s.Version), mark}, " ")
	}
	want := map[string]string{}
	for k, v := range bed.PackageStates(t) {
		name, _, _ := strings.Cut(k, ":")
		want[name] = v
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-apt and dpkg +inventory):\n%s", diff)
	}
}

func TestRunReportsFailingScript(t *testing.T) {
	t.Parallel()
	_, m := setup(t)
	result, err := m.Run(t.Context(), step("install toy-fail-postinst"), machine.RunOptions{Label: "x"})
	if !errors.Is(err, events.ErrApt) || !strings.Contains(err.Error(), "post-installation script") || result.ExitCode != 100 {
		t.Errorf("exit %d: %v", result.ExitCode, err)
	}
	if !strings.Contains(result.Output, "this script fails on purpose") {
		t.Errorf("the output is missing:\n%s", result.Output)
	}
}

func TestStepOutlivesCancelledRun(t *testing.T) {
	t.Parallel()
	bed := testbed.New(t)
	work := t.TempDir()
	m := apt.New(apt.Config{Root: bed.Root(), WorkDir: work})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := m.Run(ctx, step("install toy-slow"), machine.RunOptions{Label: "slow"})
		ended <- err
	}()
	wait(t, func() bool { return bed.Exists("/run/toy-slow.waiting") })
	if h, held, err := m.LockHolder(); err != nil || !held || h.Program == "" {
		t.Errorf("the lock is held by %v, %v, %v", h, held, err)
	}
	if err := m.WaitForLock(t.Context(), time.Millisecond, nil); !errors.Is(err, events.ErrLockBusy) {
		t.Errorf("waiting for it: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	// Another process of ours, later: it waits for the step and finds it done.
	next := apt.New(apt.Config{Root: bed.Root(), WorkDir: work})
	if _, err := next.Run(t.Context(), step("install cowsay"), machine.RunOptions{Label: "second"}); !errors.Is(err, events.ErrLockBusy) {
		t.Errorf("a second step at once: %v", err)
	}
	go func() {
		bed.WriteFile(t, "/run/toy-slow.go", "")
	}()
	did, err := next.Recover(t.Context())
	if err != nil || len(did) != 1 {
		t.Errorf("recovered %q, %v", did, err)
	}
	if s := inventory(t, m)[events.PackageKey{Name: "toy-slow", Arch: "amd64"}]; !s.Installed() {
		t.Errorf("it is %s", s)
	}
	if left, _ := filepath.Glob(filepath.Join(work, "second*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestRecoverAfterKill(t *testing.T) {
	t.Parallel()
	bed, m := setup(t)
	go func() { _, _ = m.Run(t.Context(), step("install toy-slow"), machine.RunOptions{Label: "slow"}) }()
	wait(t, func() bool { return bed.Exists("/run/toy-slow.waiting") })
	bed.Kill("apt-get")
	bed.Kill("dpkg", "toy-slow.postin", "/bin/sh /var/lib/dpkg/info/toy-slow")
	bed.WriteFile(t, "/run/toy-slow.go", "")
	did, err := m.Recover(t.Context())
	if err != nil || !strings.Contains(strings.Join(did, " "), "--configure -a") {
		t.Fatalf("recovered %q, %v", did, err)
	}
	if s := inventory(t, m)[events.PackageKey{Name: "toy-slow", Arch: "amd64"}]; !s.Installed() {
		t.Errorf("it is %s", s)
	}
	if _, err := os.Stat(filepath.Join(bed.Root(), "/var/lib/dpkg/updates/0000")); err == nil {
		t.Error("dpkg's journal is not empty")
	}
}

// wait polls until another process has reached a state.
func wait(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("waited too long")
		}
		time.Sleep(5 * time.Millisecond)
	}
}
