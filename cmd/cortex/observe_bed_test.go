package main_test

import (
	"strings"
	"testing"

	"cortex/events"
	"cortex/projections/history"
)

// waitForExternal waits until the newest transaction is an external change whose command
// line contains words, and returns it.
func (m *machine) waitForExternal(words string) history.TransactionDetail {
	m.t.Helper()
	var d history.TransactionDetail
	m.until("the record of "+words, func() bool {
		r := m.cortex("show", "last", "--json")
		if r.code != 0 {
			return false
		}
		d = m.show("last")
		return d.State == events.StateObserved && strings.Contains(d.CommandLine, words)
	})
	return d
}

func TestExternalChangesAreRecordedAndUndone(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-common", "--yes")
	m.must(0, "hooks", "install")
	m.WriteFile(t, "/etc/toy-common.conf", "mine\n")
	before := m.FullState(t)

	m.Run(t, "/usr/bin/apt-get", "-y", "install", "toy-app=1.0", "toy-lib=1.0")
	d := m.waitForExternal("apt-get -y install toy-app=1.0 toy-lib=1.0")
	if len(d.PackageChanges) != 3 || len(d.FileChanges) == 0 || d.Actor.Program != "apt-get" {
		t.Errorf("after apt-get: %+v", d)
	}
	m.Run(t, "/usr/bin/apt-get", "-y", "upgrade")
	m.waitForExternal("upgrade")
	m.Run(t, "/usr/bin/dpkg", "--purge", "toy-common")
	if d := m.waitForExternal("dpkg --purge toy-common"); len(d.PackageChanges) != 1 || len(d.FileChanges) != 1 {
		t.Errorf("after dpkg: %+v", d)
	}
	m.sh("cd /tmp && apt-get download cowsay && dpkg -i cowsay*.deb && rm cowsay*.deb")
	m.waitForExternal("dpkg -i cowsay")

	m.must(0, "undo", "--yes") // cowsay
	m.must(0, "undo", "4", "--yes")
	if got := m.ReadFile(t, "/etc/toy-common.conf"); got != "mine\n" {
		t.Errorf("the undo restored the purged file as %q", got)
	}
	m.must(0, "rollback", "--to", "1", "--yes")
	m.expectStateExcept(before, "file /etc/apt/apt.conf.d/05cortex", "file /etc/dpkg/dpkg.cfg.d/cortex")
	m.must(0, "replay", "--verify")
	if out := m.must(0, "events", "list", "--type", "machine.drifted", "--json").out; strings.Contains(out, "drifted") {
		t.Errorf("drift was recorded:\n%s", out)
	}
}

// expectStateExcept is expectState without the given keys.
func (m *machine) expectStateExcept(before map[string]string, keys ...string) {
	m.t.Helper()
	now := m.FullState(m.t)
	for _, k := range keys {
		delete(now, k)
		delete(before, k)
	}
	for k, v := range before {
		if now[k] != v {
			m.t.Errorf("%s is %q, was %q", k, now[k], v)
		}
	}
	for k := range now {
		if _, ok := before[k]; !ok {
			m.t.Errorf("%s is %q, was absent", k, now[k])
		}
	}
}

func TestHooksNeverBlockAptNorRecordOurTransactions(t *testing.T) {
	m := setup(t)
	m.must(0, "hooks", "install")
	m.must(0, "install", "cowsay", "--yes")
	m.must(0, "undo", "--yes")
	if d := m.show("last"); d.Verb != events.VerbUndo || d.Number != 2 {
		t.Errorf("a transaction of cortex was recorded as an external change: %+v", d.TransactionRow)
	}
	m.must(0, "daemon", "stop")
	m.sh("mv /usr/bin/cortex /root/cortex")
	m.Run(t, "/usr/bin/apt-get", "-y", "install", "sl") // the hooks find no binary
	m.sh("mv /root/cortex /usr/bin/cortex; rm -rf /var/lib/cortex/vault; touch /var/lib/cortex/vault")
	m.Run(t, "/usr/bin/apt-get", "-y", "remove", "sl") // the hooks cannot store anything
	m.Run(t, "/usr/bin/dpkg", "--purge", "sl")
	m.sh("rm /var/lib/cortex/vault")
	m.must(0, "hooks", "status")
	m.must(0, "hooks", "uninstall")
	if m.Exists("/etc/apt/apt.conf.d/05cortex") || m.Exists("/etc/dpkg/dpkg.cfg.d/cortex") {
		t.Error("hooks uninstall left files")
	}
	m.Run(t, "/usr/bin/apt-get", "-y", "install", "sl")
	m.must(0, "status")
}

func TestExternalAptKilledIsRecorded(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "cowsay", "--yes")
	m.must(0, "hooks", "install")
	cmd := m.Command("/usr/bin/apt-get", "-y", "install", "toy-slow")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.WriteFile(t, "/run/toy-slow.go", "") })
	m.until("the slow package", func() bool { return m.Exists("/run/toy-slow.waiting") })
	m.Kill("apt-get", "dpkg", "toy-slow.postinst")
	_ = cmd.Wait()
	m.must(0, "daemon", "stop")
	m.must(0, "daemon", "start")
	d := m.waitForExternal("apt-get -y install toy-slow")
	if len(d.PackageChanges) != 1 {
		t.Errorf("the transaction is %+v", d)
	}
}
