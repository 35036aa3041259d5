package main_test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"cortex/embedded/natslog/natstest"
)

// useCluster configures the machine to keep its log in the cluster.
func (m *machine) useCluster(c *natstest.Cluster) {
	m.t.Helper()
	n := c.Config()
	var toml strings.Builder
	fmt.Fprintf(&toml, "[nats]\nurl = %q\n", n.URL)
	for name, path := range map[string]string{"ca_file": n.CA, "cert_file": n.Cert, "key_file": n.Key, "creds_file": n.Credentials} {
		text, err := os.ReadFile(path)
		if err != nil {
			m.t.Fatal(err)
		}
		inside := "/etc/cortex/" + name
		m.WriteFile(m.t, inside, string(text))
		if err := os.Chmod(m.Root()+inside, 0o600); err != nil {
			m.t.Fatal(err)
		}
		fmt.Fprintf(&toml, "%s = %q\n", name, inside)
	}
	m.WriteFile(m.t, "/etc/cortex/cortex.toml", toml.String())
}

// TestClusterLogInstallsUndoesRestores installs, undoes, replays, verifies and restores
// with the log in a cluster, through kills and outages.
func TestClusterLogInstallsUndoesRestores(t *testing.T) {
	m := setup(t)
	c := natstest.New(t, 3)
	m.useCluster(c)
	before := m.PackageStates(t)
	m.must(0, "install", "toy-app", "--yes")
	m.killDaemon()
	m.must(0, "undo", "--yes")
	m.expectPackages(before)
	if h := m.history(); len(h) != 2 {
		t.Errorf("the history has %d transactions, want 2", len(h))
	}
	for _, args := range [][]string{{"replay", "--verify"}, {"audit", "verify"}, {"status"}, {"events", "list"}, {"doctor"}} {
		m.must(0, args...)
	}
	if m.Exists("/var/lib/cortex/log") {
		t.Error("there is also a log in files")
	}

	// One server stops during an installation and starts again.
	cmd := m.startSlowInstall()
	c.Stop(0)
	m.WriteFile(t, "/run/toy-slow.go", "")
	if err := cmd.Wait(); err != nil {
		t.Errorf("with two of three servers: %v", err)
	}
	c.Start(0)
	m.must(0, "undo", "--yes")

	// All servers stop and start again: the running transaction ends and is recorded.
	if err := os.Remove(m.Root() + "/run/toy-slow.go"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(m.Root() + "/run/toy-slow.waiting"); err != nil {
		t.Fatal(err)
	}
	cmd = m.startSlowInstall()
	c.StopAll()
	m.WriteFile(t, "/run/toy-slow.go", "")
	time.Sleep(3 * time.Second)
	c.StartAll()
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an outage of all servers: %v", err)
	}
	if d := m.show("last"); d.State != "succeeded" {
		t.Errorf("the state is %s, want succeeded", d.State)
	}
	m.must(0, "undo", "--yes")
	m.expectPackages(before)
	m.must(0, "audit", "verify")
	m.must(0, "replay", "--verify")

	// A backup contains the machine's own files; the log is still in the cluster.
	m.must(0, "backup", "create", "--to", "/root/b.tar")
	m.must(0, "backup", "verify", "/root/b.tar")
	m.must(0, "daemon", "stop")
	if err := os.RemoveAll(m.Root() + "/var/lib/cortex"); err != nil {
		t.Fatal(err)
	}
	m.must(0, "backup", "restore", "/root/b.tar")
	m.must(0, "redo", "--yes")
	m.must(0, "audit", "verify")

	// An unreachable cluster is an error, and no new log is created.
	m.must(0, "daemon", "stop")
	c.StopAll()
	r := m.must(1, "install", "toy-lib", "--yes")
	if !strings.Contains(r.err, "nats.url") {
		t.Errorf("without a cluster the error is %s", r.err)
	}
	m.WriteFile(t, "/etc/cortex/cortex.toml", "")
	r = m.must(2, "install", "toy-lib", "--yes")
	if !strings.Contains(r.err, "stored in a cluster") {
		t.Errorf("without the setting the error is %s", r.err)
	}
	m.must(0, "history")
}

// TestListenClientReceivesInstallation subscribes at nats.listen.
func TestListenClientReceivesInstallation(t *testing.T) {
	m := setup(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	m.WriteFile(t, "/etc/cortex/cortex.toml", fmt.Sprintf("[nats]\nlisten = %q\n", address))
	if r := m.must(1, "daemon", "start"); !strings.Contains(r.err, address) || !strings.Contains(r.err, "nats.listen") {
		t.Errorf("while another process listens at the address, the error is %s", r.err)
	}
	l.Close()
	m.must(0, "daemon", "start")
	conn, err := nats.Connect("nats://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	facts, err := conn.SubscribeSync("cortex.facts.*.txn.*.transaction.succeeded")
	if err == nil {
		err = conn.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	m.must(0, "install", "toy-lib", "--yes")
	fact, err := facts.NextMsg(time.Minute)
	if err != nil || !strings.Contains(string(fact.Data), `"toy-lib`) {
		t.Errorf("the client received %v, %v", fact, err)
	}
	if r := m.must(0, "status"); !strings.Contains(r.out, "accepted at "+address) {
		t.Errorf("the status does not show the address:\n%s", r.out)
	}
}
