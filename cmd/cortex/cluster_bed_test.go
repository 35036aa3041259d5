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

// settle makes a machine's log be kept by a cluster: by configuration only.
func (m *machine) settle(c *natstest.Cluster) {
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

// TestALogThatAClusterKeeps does, undoes, kills, replays, verifies and restores as
// everywhere else.
func TestALogThatAClusterKeeps(t *testing.T) {
	m := setup(t)
	c := natstest.New(t, 3)
	m.settle(c)
	before := m.PackageStates(t)
	m.must(0, "install", "toy-app", "--yes")
	m.killDaemon()
	m.must(0, "undo", "--yes")
	m.same(before)
	if h := m.history(); len(h) != 2 {
		t.Errorf("history has %d transactions", len(h))
	}
	for _, args := range [][]string{{"replay", "--verify"}, {"audit", "verify"}, {"status"}, {"events", "list"}, {"doctor"}} {
		m.must(0, args...)
	}
	if m.Exists("/var/lib/cortex/log") {
		t.Error("there is a log in files as well")
	}

	// A server goes in the middle of an installation, and comes back.
	cmd := m.slow()
	c.Stop(0)
	m.WriteFile(t, "/run/toy-slow.go", "")
	if err := cmd.Wait(); err != nil {
		t.Errorf("with two of three servers: %v", err)
	}
	c.Start(0)
	m.must(0, "undo", "--yes")

	// All of them go, and come back: what runs ends, and is on record.
	if err := os.Remove(m.Root() + "/run/toy-slow.go"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(m.Root() + "/run/toy-slow.waiting"); err != nil {
		t.Fatal(err)
	}
	cmd = m.slow()
	c.StopAll()
	m.WriteFile(t, "/run/toy-slow.go", "")
	time.Sleep(3 * time.Second)
	c.StartAll()
	if err := cmd.Wait(); err != nil {
		t.Errorf("after all were away: %v", err)
	}
	if d := m.show("last"); d.State != "succeeded" {
		t.Errorf("it %s", d.State)
	}
	m.must(0, "undo", "--yes")
	m.same(before)
	m.must(0, "audit", "verify")
	m.must(0, "replay", "--verify")

	// A backup holds what the machine has of it; the log is where it was.
	m.must(0, "backup", "create", "--to", "/root/b.tar")
	m.must(0, "backup", "verify", "/root/b.tar")
	m.must(0, "daemon", "stop")
	if err := os.RemoveAll(m.Root() + "/var/lib/cortex"); err != nil {
		t.Fatal(err)
	}
	m.must(0, "backup", "restore", "/root/b.tar")
	m.must(0, "redo", "--yes")
	m.must(0, "audit", "verify")

	// Nobody there: said at once, and nothing begun anew.
	m.must(0, "daemon", "stop")
	c.StopAll()
	r := m.must(1, "install", "toy-lib", "--yes")
	if !strings.Contains(r.err, "nats.url") {
		t.Errorf("without a cluster it says %s", r.err)
	}
	m.WriteFile(t, "/etc/cortex/cortex.toml", "")
	r = m.must(2, "install", "toy-lib", "--yes")
	if !strings.Contains(r.err, "stored in a cluster") {
		t.Errorf("without the setting it says %s", r.err)
	}
	m.must(0, "history")
}

// TestAClientOfNATSHearsWhatIsInstalled listens where the settings allow it.
func TestAClientOfNATSHearsWhatIsInstalled(t *testing.T) {
	m := setup(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	m.WriteFile(t, "/etc/cortex/cortex.toml", fmt.Sprintf("[nats]\nlisten = %q\n", address))
	if r := m.must(1, "daemon", "start"); !strings.Contains(r.err, address) || !strings.Contains(r.err, "nats.listen") {
		t.Errorf("where somebody else listens it says %s", r.err)
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
		t.Errorf("heard %v, %v", fact, err)
	}
	if r := m.must(0, "status"); !strings.Contains(r.out, "NATS clients at "+address) {
		t.Errorf("status does not say so:\n%s", r.out)
	}
}
