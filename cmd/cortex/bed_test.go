package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cortex/consumers/machine/testbed"
	"cortex/events"
	"cortex/projections/history"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// binary builds cortex once. It is linked statically, so that it runs in any root.
var binary = sync.OnceValues(func() (string, error) { return build() })

// build builds cortex with the given flags of go build and returns its path.
func build(flags ...string) (string, error) {
	dir, err := os.MkdirTemp("", "cortex-bin")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "cortex")
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", path, ".")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
}

// machine is a fresh root with real apt, the toy repository and cortex in it.
type machine struct {
	*testbed.Bed
	t   *testing.T
	env []string // additional environment of cortex
}

func setup(t *testing.T) *machine {
	t.Helper()
	t.Parallel()
	return newMachine(t)
}

// newMachine returns a further machine for the same test.
func newMachine(t *testing.T) *machine {
	t.Helper()
	bed := testbed.New(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	bed.Copy(t, path, "/usr/bin/cortex")
	m := &machine{Bed: bed, t: t}
	t.Cleanup(m.stop)
	return m
}

// stop stops the daemon, and shows its log if the test has failed.
func (m *machine) stop() {
	m.cortex("daemon", "stop")
	if m.t.Failed() {
		if log, err := os.ReadFile(filepath.Join(m.Root(), "/var/lib/cortex/daemon.log")); err == nil {
			m.t.Logf("daemon.log:\n%s", log)
		}
	}
}

// hangTimeout is the time after which a command is made to print its goroutines.
const hangTimeout = time.Minute

// result is the output and the exit code of a command.
type result struct {
	out, err string
	code     int
}

// command returns cortex in the root, not started, without a terminal.
func (m *machine) command(args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	cmd := m.Command(append([]string{"/usr/bin/cortex"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(cmd.Env, m.env...)
	return cmd, &out, &errs
}

func (m *machine) cortex(args ...string) result {
	m.t.Helper()
	cmd, out, errs := m.command(args...)
	hung := time.AfterFunc(hangTimeout, func() {
		m.Signal(syscall.SIGQUIT, "/usr/bin/cortex daemon run") // its goroutines go to daemon.log
		m.Signal(syscall.SIGQUIT, "/usr/bin/cortex "+args[0])
	})
	err := cmd.Run()
	hung.Stop()
	r := result{out.String(), errs.String(), 0}
	if err != nil {
		if cmd.ProcessState == nil {
			m.t.Fatalf("cortex %q did not start: %v", args, err)
		}
		r.code = cmd.ProcessState.ExitCode()
	}
	return r
}

// must runs cortex and fails the test unless it exits with code.
func (m *machine) must(code int, args ...string) result {
	m.t.Helper()
	r := m.cortex(args...)
	if r.code != code {
		m.t.Fatalf("cortex %s exited %d, want %d\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), r.code, code, r.out, r.err)
	}
	return r
}

func (m *machine) show(ref string) history.TransactionDetail {
	m.t.Helper()
	var v struct {
		Transaction history.TransactionDetail `json:"transaction"`
	}
	if err := json.Unmarshal([]byte(m.must(0, "show", ref, "--json").out), &v); err != nil {
		m.t.Fatal(err)
	}
	return v.Transaction
}

func (m *machine) history() []history.TransactionRow {
	m.t.Helper()
	var v struct {
		Transactions []history.TransactionRow `json:"transactions"`
	}
	if err := json.Unmarshal([]byte(m.must(0, "history", "--json").out), &v); err != nil {
		m.t.Fatal(err)
	}
	return v.Transactions
}

// expectPackages fails the test unless dpkg's states and apt's marks equal before.
func (m *machine) expectPackages(before map[string]string) {
	m.t.Helper()
	if diff := cmp.Diff(before, m.PackageStates(m.t)); diff != "" {
		m.t.Errorf("the packages differ from before (-before +after):\n%s", diff)
	}
}

// until waits until ok returns true.
func (m *machine) until(what string, ok func() bool) {
	m.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			m.t.Fatalf("timeout while waiting for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// startSlowInstall starts the installation of a package whose postinst waits, and
// returns when the postinst runs.
func (m *machine) startSlowInstall() *exec.Cmd {
	m.t.Helper()
	cmd, _, _ := m.command("install", "toy-slow", "--yes")
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { m.WriteFile(m.t, "/run/toy-slow.go", "") })
	m.until("the slow package", func() bool { return m.Exists("/run/toy-slow.waiting") })
	return cmd
}

func (m *machine) killDaemon() {
	m.t.Helper()
	var v struct {
		Daemon struct {
			PID int `json:"pid"`
		} `json:"daemon"`
	}
	if err := json.Unmarshal([]byte(m.must(0, "status", "--json").out), &v); err != nil || v.Daemon.PID == 0 {
		m.t.Fatalf("no daemon to kill: %v", err)
	}
	if err := syscall.Kill(v.Daemon.PID, syscall.SIGKILL); err != nil {
		m.t.Fatal(err)
	}
}

func TestUndoRestoresPackages(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare [][]string
		do      []string
		code    int
		undo    int // exit code of the undo; 7 if it is not exact
	}{
		"install":                 {nil, []string{"install", "toy-app"}, 0, 0},
		"install of all":          {nil, []string{"install", "toy-common"}, 0, 0}, // architecture all, with configuration
		"install of a version":    {nil, []string{"install", "toy-app=1.0"}, 0, 0},
		"install, no recommends":  {nil, []string{"install", "--no-recommends", "toy-app"}, 0, 0},
		"install of an old one":   {[][]string{{"install", "toy-app"}}, []string{"install", "toy-app=1.0"}, 0, 0},
		"install by conflict":     {[][]string{{"install", "toy-app"}}, []string{"install", "toy-alt"}, 0, 0},
		"remove":                  {[][]string{{"install", "toy-app"}}, []string{"remove", "toy-app"}, 0, 0},
		"remove of a dependency":  {[][]string{{"install", "toy-app"}}, []string{"remove", "toy-lib"}, 0, 0},
		"purge":                   {[][]string{{"install", "toy-app"}}, []string{"purge", "toy-app"}, 0, 0},
		"purge without conffiles": {[][]string{{"install", "cowsay"}}, []string{"purge", "cowsay"}, 0, 0},
		"upgrade of one":          {[][]string{{"install", "toy-app=1.0", "toy-lib=1.0"}}, []string{"upgrade", "toy-app"}, 0, 0},
		"upgrade of all":          {[][]string{{"install", "toy-app=1.0", "toy-lib=1.0"}, {"install", "toy-pair-a=1.0", "toy-pair-b=1.0"}}, []string{"upgrade"}, 0, 0},
		"failing preinst":         {nil, []string{"install", "cowsay", "toy-fail-preinst"}, 100, 0},
		"failing postinst":        {nil, []string{"install", "cowsay", "toy-fail-postinst"}, 100, 0},
		"failing upgrade":         {[][]string{{"install", "toy-halfway=1.0"}}, []string{"upgrade", "toy-halfway"}, 100, 0},
		"hold":                    {[][]string{{"install", "cowsay"}}, []string{"hold", "cowsay"}, 0, 0},
		"unhold":                  {[][]string{{"install", "cowsay"}, {"hold", "cowsay"}}, []string{"unhold", "cowsay"}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := setup(t)
			for _, args := range tc.prepare {
				m.must(0, append(args, "--yes")...)
			}
			before := m.PackageStates(t)
			m.must(tc.code, append(tc.do, "--yes")...)
			did := m.show("last")
			if len(did.PackageChanges) == 0 {
				t.Fatal("the command changed nothing, so the case tests nothing")
			}
			undo := m.must(tc.undo, "undo", "--yes")
			m.expectPackages(before)
			if got := m.show(fmt.Sprint(did.Number)); got.Exact != (tc.undo == 0) || !got.Undone() {
				t.Errorf("exact %v, compensation %q\n%s%s", got.Exact, got.CompensationSummary(), undo.out, undo.err)
			}
			m.must(0, "replay", "--verify")
		})
	}
}

func TestRedoAndUndoAgain(t *testing.T) {
	m := setup(t)
	before := m.PackageStates(t)
	m.must(0, "install", "toy-app", "--yes")
	done := m.PackageStates(t)
	m.must(0, "undo", "--yes")
	m.expectPackages(before)
	m.must(0, "redo", "--yes")
	m.expectPackages(done)
	m.must(0, "undo", "--yes")
	m.expectPackages(before)
	if r := m.cortex("undo", "--yes"); r.code == 0 {
		t.Errorf("a second undo found something to undo:\n%s", r.out)
	}
}

func TestUndoWithoutOldVersionIsRefused(t *testing.T) {
	m := setup(t)
	m.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-app=1.0", "toy-lib=1.0")
	m.Run(t, "/usr/bin/apt-get", "clean")
	m.Offer(t, "toy-app=2.0", "toy-lib=2.0", "toy-lib=1.0")
	if r := m.must(0, "upgrade", "toy-app", "--yes"); !strings.Contains(r.out, "cannot be undone: toy-app 1.0") {
		t.Errorf("the upgrade does not report that it cannot be undone:\n%s", r.out)
	}
	before := m.PackageStates(t)
	r := m.must(1, "undo", "--yes")
	if !strings.Contains(r.err, "toy-app:amd64=1.0") || !strings.Contains(r.err, "offered: 2.0") {
		t.Errorf("the error does not name the missing version: %s", r.err)
	}
	m.expectPackages(before)
	if got := m.show("last"); got.State != events.StateRefused {
		t.Errorf("the state is %s", got.State)
	}
}

func TestCommandKilledAptFinishes(t *testing.T) {
	m := setup(t)
	cmd := m.startSlowInstall()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	m.WriteFile(t, "/run/toy-slow.go", "")
	m.until("the end", func() bool { return m.show("last").State.Ended() })
	if got := m.show("last"); got.State != events.StateSucceeded || len(got.PackageChanges) != 1 {
		t.Errorf("the state is %s, the changes are %v", got.State, got.PackageChanges)
	}
}

func TestDaemonKilledWhileDpkgRunsRecordsOutcome(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "cowsay", "--yes")
	before := m.PackageStates(t)
	cmd := m.startSlowInstall()
	m.killDaemon()
	m.WriteFile(t, "/run/toy-slow.go", "")
	// The command continues with the next daemon and reports the actual outcome.
	err := cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != events.ErrInterrupted.ExitCode() {
		t.Errorf("the command returned %v, want exit code %d", err, events.ErrInterrupted.ExitCode())
	}
	got := m.show("last")
	if got.State != events.StateInterrupted || len(got.PackageChanges) != 1 || got.PackageChanges[0].After.Status != events.StatusInstalled {
		t.Fatalf("the state is %s, the changes are %v", got.State, got.PackageChanges)
	}
	m.must(0, "undo", "--yes")
	m.expectPackages(before)
	m.must(0, "replay", "--verify")
}

func TestDaemonAndAptKilledIsRecovered(t *testing.T) {
	m := setup(t)
	before := m.PackageStates(t)
	cmd := m.startSlowInstall()
	m.killDaemon()
	m.Kill("apt-get", "dpkg", "toy-slow.postin")
	m.WriteFile(t, "/run/toy-slow.go", "")
	_ = cmd.Wait()
	got := m.show("last")
	if got.State != events.StateInterrupted {
		t.Fatalf("the state is %s", got.State)
	}
	for _, c := range got.PackageChanges {
		if c.After.Status != events.StatusInstalled {
			t.Errorf("the package is left in the state %s", c)
		}
	}
	if len(got.Recovered) == 0 {
		t.Error("the recovery is not reported")
	}
	m.must(0, "undo", "--yes")
	m.expectPackages(before)
}

func TestInstallTwoAtOnceSucceed(t *testing.T) {
	m := setup(t)
	var wg sync.WaitGroup
	results := make([]result, 2)
	for i, args := range [][]string{{"install", "toy-app", "--yes"}, {"install", "toy-pair-a", "cowsay", "--yes"}} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			results[i] = m.cortex(args...)
		}()
	}
	wg.Wait()
	for i, r := range results {
		if r.code != 0 {
			t.Errorf("command %d exited %d:\n%s%s", i, r.code, r.out, r.err)
		}
	}
	state := m.PackageStates(t)
	for _, name := range []string{"toy-app", "toy-pair-a", "cowsay"} {
		found := false
		for k := range state {
			found = found || strings.HasPrefix(k, name+":")
		}
		if !found {
			t.Errorf("%s is not installed: %v", name, state)
		}
	}
}

func TestInstallSameAtOnceSucceeds(t *testing.T) {
	m := setup(t)
	var wg sync.WaitGroup
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if r := m.cortex("install", "cowsay", "--yes"); r.code != 0 {
				t.Errorf("exit %d:\n%s%s", r.code, r.out, r.err)
			}
		}()
	}
	wg.Wait()
}

// waitForDaemon waits until a daemon accepts connections.
func (m *machine) waitForDaemon(ctx context.Context) {
	for ctx.Err() == nil {
		if dir, err := os.Open(filepath.Join(m.Root(), "run/cortex")); err == nil { // the full path is too long for a socket address
			c, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/cortexd.sock", dir.Fd()))
			dir.Close()
			if err == nil {
				c.Close()
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestDaemonKilledRepeatedlyCommandsSucceed(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "cowsay", "--yes")
	const commands, kills = 25, 40 // the kills end, so that the commands also finish on a busy machine
	ctx, stopKilling := context.WithCancel(t.Context())
	var killer, wg sync.WaitGroup
	killer.Add(1)
	go func() {
		defer killer.Done()
		for i := 0; i < kills && ctx.Err() == nil; i++ {
			if i%3 > 0 { // one in three is killed at any instant, the others after they accept connections
				m.waitForDaemon(ctx)
			}
			time.Sleep(time.Duration(60+i*37%150) * time.Millisecond) // varied, and the same in each run
			m.Kill("/usr/bin/cortex daemon run")
		}
	}()
	results := make([]result, commands)
	for i := range commands {
		wg.Add(1)
		go func() {
			defer wg.Done()
			results[i] = m.cortex("hold", "cowsay", "--dry-run", "--json")
		}()
	}
	wg.Wait()
	stopKilling()
	killer.Wait()
	ids := map[events.TransactionID]bool{}
	for i, r := range results {
		if r.code != 0 {
			t.Errorf("command %d exited %d:\n%s%s", i, r.code, r.out, r.err)
		}
		var last struct {
			Type   string `json:"type"`
			Result struct {
				ID events.TransactionID `json:"id"`
			} `json:"result"`
		}
		lines := strings.Split(strings.TrimSpace(r.out), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Type != "result" {
			t.Errorf("the last line of command %d is %q", i, lines[len(lines)-1])
		}
		ids[last.Result.ID] = true
	}
	if len(ids) != commands {
		t.Errorf("%d different transactions for %d commands", len(ids), commands)
	}
	seen := map[events.TransactionID]int{}
	for _, tx := range m.history() {
		seen[tx.ID]++
	}
	for id := range ids {
		if seen[id] != 1 {
			t.Errorf("the history contains transaction %s %d times, want once", id, seen[id])
		}
	}
	m.must(0, "replay", "--verify")
}

func TestLockTimeoutEndsWait(t *testing.T) {
	m := setup(t)
	other := m.Command("/usr/bin/apt-get", "-y", "install", "toy-slow")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	m.until("the slow package", func() bool { return m.Exists("/run/toy-slow.waiting") })
	r := m.must(8, "install", "cowsay", "--yes", "--lock-timeout", "1s")
	for _, want := range []string{"waiting for apt-get", "held by apt-get"} {
		if !strings.Contains(r.err, want) {
			t.Errorf("the output does not contain %q:\n%s", want, r.err)
		}
	}
	done := make(chan result, 1)
	go func() { done <- m.cortex("install", "cowsay", "--yes") }()
	m.WriteFile(t, "/run/toy-slow.go", "")
	if err := other.Wait(); err != nil {
		t.Error(err)
	}
	if r := <-done; r.code != 0 {
		t.Errorf("after the lock was released: exit %d\n%s", r.code, r.err)
	}
}

func TestApplyRunsExactPlanOrIsStale(t *testing.T) {
	m := setup(t)
	plan := func(args ...string) string {
		var v struct {
			Plan struct {
				ID string `json:"plan_id"`
			} `json:"plan"`
		}
		for line := range strings.Lines(m.must(0, append(args, "--dry-run", "--json")...).out) {
			if strings.Contains(line, `"type":"plan"`) {
				if err := json.Unmarshal([]byte(line), &v); err != nil {
					t.Fatal(err)
				}
			}
		}
		return v.Plan.ID
	}
	before := m.PackageStates(t)
	good := plan("install", "cowsay")
	m.expectPackages(before)
	if got := m.show("last"); got.State != events.StatePlanned {
		t.Errorf("after a dry run the state is %s", got.State)
	}
	stale := plan("install", "toy-app")
	m.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-lib")
	m.must(6, "apply", stale)
	m.must(0, "apply", good)
	if got := m.show("last"); got.State == events.StateSucceeded && got.PlanID != "" && string(got.PlanID) != good {
		t.Errorf("apply ran plan %s", got.PlanID)
	}
	m.must(6, "apply", good) // it was already applied
	m.must(1, "apply", "000000000000")
	m.must(2, "apply", "nonsense")
}

func TestUnprivilegedUserSeesPlan(t *testing.T) {
	m := setup(t)
	cmd, out, errs := m.command("install", "cowsay")
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	cmd.Env = append(cmd.Env, "HOME=/tmp", "XDG_STATE_HOME=/tmp/state")
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 4 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if !strings.Contains(out.String(), "install  cowsay") || !strings.Contains(errs.String(), "sudo cortex install cowsay") {
		t.Errorf("stdout:\n%s\nstderr:\n%s", out, errs)
	}
	// With the system's daemon running the user plans there, and still cannot change packages.
	m.must(0, "daemon", "start")
	before := m.PackageStates(t)
	cmd, out, errs = m.command("install", "sl", "--yes")
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 4 {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	m.expectPackages(before)
	if got := m.show("last"); got.Actor.UID != 65534 || got.State != events.StatePlanned {
		t.Errorf("the state is %s, the actor %+v", got.State, got.Actor)
	}
}

func TestReadModelsDamagedAreRebuilt(t *testing.T) {
	for name, spoil := range map[string]string{
		"deleted": "rm -f /var/lib/cortex/read/history*",
		"garbage": "for f in /var/lib/cortex/read/history-*.db; do head -c 20000 /dev/urandom > $f; done",
		"emptied": "for f in /var/lib/cortex/read/history-*.db; do : > $f; done",
	} {
		t.Run(name, func(t *testing.T) {
			m := setup(t)
			m.must(0, "install", "cowsay", "--yes")
			m.must(0, "daemon", "stop")
			m.Run(t, "/bin/sh", "-c", spoil)
			r := m.must(0, "history")
			if !strings.Contains(r.out, "install cowsay") || strings.Count(r.err, "rebuilt") != 1 {
				t.Errorf("stdout:\n%s\nstderr:\n%s", r.out, r.err)
			}
		})
	}
}

func TestStoreDamagedIsRefusedUnchanged(t *testing.T) {
	for name, spoil := range map[string]string{
		"truncated":          "f=$(ls /var/lib/cortex/log/jetstream/*/streams/CORTEX_EVT/msgs/*.blk | tail -1); truncate -s 2000 $f",
		"bit flip":           `f=$(ls /var/lib/cortex/log/jetstream/*/streams/CORTEX_EVT/msgs/*.blk | tail -1); printf '\377' | dd of=$f bs=1 seek=3000 conv=notrunc 2>/dev/null`,
		"gone":               "rm -r /var/lib/cortex/log",
		"without a manifest": "rm /var/lib/cortex/manifest.json",
	} {
		t.Run(name, func(t *testing.T) {
			m := setup(t)
			m.must(0, "install", "cowsay", "--yes")
			m.must(0, "daemon", "stop")
			m.Run(t, "/bin/sh", "-c", spoil)
			sum := func() string {
				return m.Run(t, "/bin/sh", "-c", "cd /var/lib/cortex; find log manifest.json -type f 2>/dev/null | sort | xargs -r sha256sum")
			}
			before, state := sum(), m.PackageStates(t)
			r := m.must(1, "install", "sl", "--yes")
			if !strings.Contains(r.err, "hint:") {
				t.Errorf("the error has no hint:\n%s", r.err)
			}
			m.expectPackages(state)
			if after := sum(); after != before {
				t.Errorf("the store was changed (-before +after):\n%s", cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")))
			}
			if !strings.Contains(m.must(0, "history").out, "install cowsay") {
				t.Error("the history cannot be read")
			}
		})
	}
}
