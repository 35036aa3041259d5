package main_test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"cortex/events"
	"cortex/projections/history"
)

// background starts cortex and does not wait for it.
func (m *machine) background(args ...string) *exec.Cmd {
	m.t.Helper()
	cmd, _, _ := m.command(args...)
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	return cmd
}

// allProcesses are the names of the processes of a running transaction.
var allProcesses = []string{"/usr/bin/cortex", "apt-get", "dpkg", "toy-slow.postinst"}

// waitForEnd waits until the transaction ends and returns it.
func (m *machine) waitForEnd(ref string) history.TransactionDetail {
	m.t.Helper()
	m.must(0, "daemon", "start")
	m.until("the end of transaction "+ref, func() bool { return m.show(ref).State.Ended() })
	return m.show(ref)
}

// expectTrueHistory fails the test unless dpkg's state is consistent and the history equals it.
func (m *machine) expectTrueHistory() {
	m.t.Helper()
	if out, _ := m.Try("/usr/bin/dpkg", "--audit"); strings.TrimSpace(out) != "" {
		m.t.Errorf("dpkg --audit reports:\n%s", out)
	}
	m.must(0, "replay", "--verify")
	if out := m.must(0, "events", "list", "--type", "machine.drifted", "--json").out; strings.Contains(out, "machine.drifted") {
		m.t.Errorf("the history did not equal the state of dpkg; drift was recorded:\n%s", out)
	}
	if out := m.must(0, "status").out; strings.Contains(out, "failed event") {
		m.t.Errorf("there are failed events:\n%s", out)
	}
}

func TestDaemonKilledInAptHookChangesNothing(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-common", "--yes")
	m.WriteFile(t, "/etc/apt/apt.conf.d/00wait", `DPkg::Pre-Install-Pkgs { "touch /run/asks; while [ ! -e /run/go ]; do sleep 0.02; done; cat >/dev/null"; };`+"\n")
	before := m.FullState(t)
	cmd := m.background("purge", "toy-common", "--yes")
	m.until("apt to ask", func() bool { return m.Exists("/run/asks") })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	m.Kill("/usr/bin/cortex daemon run")
	m.WriteFile(t, "/run/go", "")
	d := m.waitForEnd("2")
	if d.State != events.StateInterrupted || len(d.PackageChanges)+len(d.FileChanges) != 0 {
		t.Errorf("the state is %s, the changes are %v, %v", d.State, d.PackageChanges, d.FileChanges)
	}
	m.expectState(before)
	m.expectTrueHistory()
}

func TestUnpackInterruptedInstallsFromBlobStore(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "cowsay", "--yes")
	before := m.FullState(t)
	m.background("install", "toy-many", "--yes")
	m.until("dpkg to unpack", func() bool {
		return m.Exists("/usr/share/toy-many/0100.dpkg-new") || m.Exists("/usr/share/toy-many/0100")
	})
	m.Kill(allProcesses...)
	m.OfferNewest(t)
	m.Offer(t, "cowsay=3.03")
	m.Run(t, "/usr/bin/apt-get", "clean")
	d := m.waitForEnd("2")
	m.expectTrueHistory()
	if d.State != events.StateInterrupted && d.State != events.StateSucceeded {
		t.Errorf("the state is %s", d.State)
	}
	m.must(0, "undo", "2", "--yes")
	m.expectState(before)
}

func TestUndoInterruptedContinues(t *testing.T) {
	m := setup(t)
	m.WriteFile(t, "/run/toy-slow.go", "")
	m.must(0, "install", "toy-slow", "toy-app=1.0", "toy-lib=1.0", "--yes")
	m.WriteFile(t, "/etc/toy-app/main.conf", "mine\n")
	m.Remove(t, "/etc/toy-app/old.conf")
	before := m.FullState(t)
	m.must(0, "purge", "toy-slow", "toy-app", "toy-lib", "toy-extra", "--yes")
	m.Remove(t, "/run/toy-slow.go")
	m.Try("/bin/rm", "-f", "/run/toy-slow.waiting")
	m.background("undo", "--yes")
	m.until("the undo to configure", func() bool { return m.Exists("/run/toy-slow.waiting") })
	m.Kill(allProcesses...)
	m.WriteFile(t, "/run/toy-slow.go", "")
	if d := m.waitForEnd("3"); d.State != events.StateInterrupted {
		t.Errorf("the state of the undo is %s", d.State)
	}
	m.expectTrueHistory()
	m.must(0, "undo", "2", "--yes")
	m.expectState(before)
	if d := m.show("2"); !d.Exact || !d.Undone() {
		t.Errorf("exact %v, compensation %q", d.Exact, d.CompensationSummary())
	}
	m.expectTrueHistory()
}

func TestBlobStoreFullIsVeto(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-common", "--yes")
	m.must(0, "daemon", "stop")
	before := m.FullState(t)
	m.Run(t, "/bin/mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/var/lib/cortex/vault")
	r := m.cortex("install", "cowsay", "--yes")
	if r.code == 0 || !strings.Contains(r.err, "full") && !strings.Contains(r.err, "space") {
		t.Errorf("exit %d:\n%s%s", r.code, r.out, r.err)
	}
	m.expectState(before)
	m.must(0, "daemon", "stop")
	m.Run(t, "/bin/umount", "/var/lib/cortex/vault")
	m.must(0, "install", "cowsay", "--yes")
	m.must(0, "rollback", "--to", "1", "--yes")
	m.expectState(before)
}

// crashVictims are the sets of processes that a random crash kills, by their command lines.
var crashVictims = [][]string{
	{"/usr/bin/cortex daemon run"}, {"/usr/bin/cortex"}, {"apt-get"}, {"dpkg"}, {"apt-get", "dpkg"}, allProcesses,
}

func TestCrashAtRandomInstantCanBeUndone(t *testing.T) {
	n, seed := cases(t, 3)
	for i := range max(1, n/3) {
		t.Run(fmt.Sprintf("seed %d", seed+uint64(i)), func(t *testing.T) {
			m := setup(t)
			c := chance{rand.New(rand.NewPCG(seed+uint64(i), 3))}
			m.WriteFile(t, "/run/toy-slow.go", "")
			m.must(0, "install", "toy-app=1.0", "toy-lib=1.0", "toy-common", "-qy")
			m.WriteFile(t, "/etc/toy-common.conf", "mine\n")
			m.must(0, "hold", "toy-common", "-qy")
			before := m.FullState(t)
			for range 3 {
				do := c.of("install toy-many cowsay", "upgrade", "purge toy-common --allow-change-held-packages", "undo", "install toy-debconf toy-altern", "remove toy-app", "install toy-slow sl")
				cmd := m.background(append(strings.Fields(do), "-qy")...)
				victims := crashVictims[c.IntN(len(crashVictims))]
				instant := time.NewTimer(time.Duration(c.IntN(900)) * time.Millisecond)
				<-instant.C // the random instant of the crash
				m.Signal(syscall.SIGKILL, victims...)
				_ = cmd.Wait()
				m.waitForAllEnds()
				t.Logf("%s: killed %q", do, victims)
			}
			m.expectTrueHistory()
			r := m.cortex("rollback", "--to", "2", "-y", "--allow-change-held-packages")
			if r.code != 0 {
				t.Fatalf("rollback: exit %d\n%s%s", r.code, r.out, r.err)
			}
			m.expectState(before)
			m.expectTrueHistory()
		})
	}
}

// waitForAllEnds waits until every transaction has ended.
func (m *machine) waitForAllEnds() {
	m.t.Helper()
	m.must(0, "daemon", "start")
	m.until("every transaction to end", func() bool {
		for _, t := range m.history() {
			switch t.State {
			case events.StateRequested, events.StateApproved, events.StateRunning:
				return false
			default:
			}
		}
		return true
	})
}

func TestUndoAfterCrashMeansNewestTransaction(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-common", "--yes")
	before := m.FullState(t)
	cmd := m.background("install", "cowsay", "toy-slow", "--yes")
	m.until("the slow package", func() bool { return m.Exists("/run/toy-slow.waiting") })
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	m.Kill(allProcesses...)
	m.WriteFile(t, "/run/toy-slow.go", "")
	if r := m.must(0, "undo", "--yes"); !strings.Contains(r.err, "undo of transaction 2") {
		t.Errorf("the error is:\n%s", r.err)
	}
	m.expectState(before)
	m.expectTrueHistory()
}

func TestAptKilledBeforeConfigureIsRepaired(t *testing.T) {
	for name, victims := range map[string][]string{"both": {"apt-get", "dpkg"}, "dpkg": {"dpkg"}, "apt": {"apt-get"}} {
		t.Run(name, func(t *testing.T) {
			m := setup(t)
			m.must(0, "install", "cowsay", "--yes")
			before := m.FullState(t)
			m.WriteFile(t, "/etc/dpkg/dpkg.cfg.d/wait", `pre-invoke="if [ $DPKG_HOOK_ACTION = configure ] && [ ! -e /run/go ]; then touch /run/waits; while [ ! -e /run/go ]; do sleep 0.02; done; fi"`+"\n")
			cmd := m.background("install", "toy-debconf", "toy-altern", "--yes")
			m.until("dpkg to configure", func() bool { return m.Exists("/run/waits") })
			m.Signal(syscall.SIGKILL, victims...)
			m.WriteFile(t, "/run/go", "")
			_ = cmd.Wait()
			m.waitForAllEnds()
			m.expectTrueHistory()
			m.Run(t, "/bin/rm", "/etc/dpkg/dpkg.cfg.d/wait")
			m.must(0, "rollback", "--to", "1", "--yes")
			m.expectState(before)
		})
	}
}
