package main_test

import (
	"os"
	"strings"
	"testing"

	"cortex/consumers/machine/testbed"
	"cortex/events"
)

// oldPackage returns a fresh root with the package of an earlier release installed; nil without
// CORTEX_OLD_DEB and CORTEX_DEB. 'make deb-upgrade' sets them.
func oldPackage(t *testing.T) *machine {
	t.Helper()
	old, current := os.Getenv("CORTEX_OLD_DEB"), os.Getenv("CORTEX_DEB")
	if old == "" || current == "" {
		t.Log("CORTEX_OLD_DEB or CORTEX_DEB is not set, nothing is tested; 'make deb-upgrade' builds both packages")
		return nil
	}
	m := &machine{Bed: testbed.New(t), t: t}
	t.Cleanup(m.stop)
	m.Copy(t, old, "/root/old.deb")
	m.Copy(t, current, "/root/new.deb")
	m.Run(t, "/usr/bin/dpkg", "-i", "/root/old.deb")
	return m
}

// The package is upgraded while one transaction runs and another waits for dpkg's lock. Both
// end, and the history of each equals dpkg's state.
func TestPackageUpgradeWhileTransactionsRun(t *testing.T) {
	m := oldPackage(t)
	if m == nil {
		return
	}
	slow := m.startSlowInstall()
	waiting, out, errs := m.command("install", "cowsay", "--yes")
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	upgrade := m.Command("/bin/sh", "-c", "until dpkg -i /root/new.deb; do sleep 0.05; done")
	if err := upgrade.Start(); err != nil {
		t.Fatal(err)
	}
	m.WriteFile(t, "/run/toy-slow.go", "")
	if err := slow.Wait(); err != nil {
		t.Errorf("the running transaction: %v", err)
	}
	_ = waiting.Wait() // the history shows its outcome
	if err := upgrade.Wait(); err != nil {
		t.Fatal(err)
	}
	m.until("the end of both transactions", func() bool {
		for _, h := range m.history() {
			if !h.State.Ended() {
				return false
			}
		}
		return len(m.history()) >= 2
	})
	states := m.PackageStates(t)
	for _, h := range m.history() {
		for _, name := range []string{"toy-slow", "cowsay"} {
			if h.Verb != events.VerbInstall || h.Summary != name {
				continue
			}
			installed := false
			for k, v := range states {
				installed = installed || strings.HasPrefix(k, name) && strings.Contains(v, "ok installed")
			}
			if succeeded := h.State == events.StateSucceeded; succeeded != installed {
				t.Errorf("transaction %d (%s) is %s, installed according to dpkg: %v\n%s%s", h.Number, h.Summary, h.State, installed, out, errs)
			}
		}
	}
	m.must(0, "audit", "verify")
	m.must(0, "replay", "--verify")
	m.must(0, "undo", "2", "--yes")
}

// A new command works with the daemon of the previous version, and an old command with a new
// daemon. Each reports the difference and a hint.
func TestCommandAndDaemonOfDifferentVersions(t *testing.T) {
	m := oldPackage(t)
	if m == nil {
		return
	}
	m.Run(t, "/bin/cp", "-a", "/usr/bin/cortex", "/root/cortex-old")
	m.must(0, "daemon", "start")
	m.Run(t, "/bin/sh", "-c", "dpkg-deb -x /root/new.deb /root/new && cp /root/new/usr/bin/cortex /root/cortex-new")

	out, code := m.Try("/root/cortex-new", "install", "cowsay", "--yes")
	if code != 0 || !strings.Contains(out, "to restart the daemon: cortex daemon stop") {
		t.Errorf("a new command with an old daemon: exit %d\n%s", code, out)
	}
	m.must(0, "daemon", "stop")

	m.Run(t, "/usr/bin/dpkg", "-i", "/root/new.deb")
	m.must(0, "daemon", "start")
	if out, code := m.Try("/root/cortex-old", "history"); code != 0 || !strings.Contains(out, "cowsay") {
		t.Errorf("an old command with a new daemon: exit %d\n%s", code, out)
	}
	if out, code := m.Try("/root/cortex-old", "undo", "1", "--yes"); code != 0 {
		t.Errorf("an old command with a new daemon: exit %d\n%s", code, out)
	}
	if out, code := m.Try("/root/cortex-old", "limits", "run", "batch", "--", "/bin/true"); code == 0 || !strings.Contains(out, "the command is older than the daemon") {
		t.Errorf("limits of an old command: exit %d\n%s", code, out)
	}
	m.must(0, "audit", "verify")
}
