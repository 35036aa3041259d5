// Package natstest runs external NATS servers for tests: one, or a cluster of three, with TLS,
// client certificates and user keys, on the loopback interface.
//
// It promises that a stopped server keeps its data, starts again at the same address, and is
// stopped when the test ends.
package natstest

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"cortex/embedded/natslog"
)

// startTimeout is how long servers may take to start and to elect a leader.
const startTimeout = 30 * time.Second

// Cluster is a cluster of servers, or a single server.
type Cluster struct {
	t       testing.TB
	opts    []*server.Options
	servers []*server.Server
	config  natslog.ClusterConfig
}

// New starts n servers, 1 or 3. They accept only clients with a certificate of their authority
// and the key of their user.
func New(t testing.TB, n int) *Cluster {
	t.Helper()
	dir := t.TempDir()
	c := &Cluster{t: t, servers: make([]*server.Server, n)}
	user, public := newUser(t)
	files := newTLSFiles(t, dir)
	seed := filepath.Join(dir, "user.nk")
	must(t, os.WriteFile(seed, user, 0o600))
	ports := freePorts(t, 2*n)
	var urls, routes []string
	for i := range n {
		urls = append(urls, fmt.Sprintf("tls://127.0.0.1:%d", ports[i]))
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", ports[n+i]))
	}
	for i := range n {
		o := &server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: "127.0.0.1", Port: ports[i], NoSigs: true, NoLog: true,
			JetStream: true, StoreDir: filepath.Join(dir, fmt.Sprintf("n%d", i)), DisableJetStreamBanner: true,
			JetStreamMaxStore: 1 << 40, JetStreamMaxMemory: 256 << 20, SyncAlways: true, MaxPayload: 4 << 20,
			TLS: true, TLSVerify: true, TLSConfig: files.serverTLS, TLSTimeout: 10, AuthTimeout: 10,
			Nkeys: []*server.NkeyUser{{Nkey: public}},
		}
		if n > 1 {
			o.Cluster = server.ClusterOpts{Name: "three", Host: "127.0.0.1", Port: ports[n+i]}
			o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		}
		c.opts = append(c.opts, o)
	}
	c.config = natslog.ClusterConfig{
		URL: strings.Join(urls, ","), CA: files.ca, Cert: files.cert, Key: files.key,
		Credentials: seed,
	}
	t.Cleanup(c.StopAll)
	c.StartAll()
	return c
}

// Config returns the configuration of a broker for this cluster.
func (c *Cluster) Config() *natslog.ClusterConfig {
	out := c.config
	return &out
}

// Start starts server i again with its data.
func (c *Cluster) Start(i int) {
	c.t.Helper()
	s, err := server.NewServer(c.opts[i].Clone())
	must(c.t, err)
	s.Start()
	c.servers[i] = s
}

// Stop stops server i.
func (c *Cluster) Stop(i int) {
	if s := c.servers[i]; s != nil {
		s.Shutdown()
		s.WaitForShutdown()
		c.servers[i] = nil
	}
}

// StartAll starts every server and waits until they have a leader.
func (c *Cluster) StartAll() {
	c.t.Helper()
	for i := range c.servers {
		c.Start(i)
	}
	for end := time.Now().Add(startTimeout); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for _, s := range c.servers {
			if s.ReadyForConnections(time.Second) && (len(c.servers) == 1 || s.JetStreamIsLeader()) {
				return
			}
		}
	}
	c.t.Fatal("the servers did not come up")
}

// StopAll stops every server.
func (c *Cluster) StopAll() {
	for i := range c.servers {
		c.Stop(i)
	}
}

// Restrict starts the servers again and gives the user these permissions only.
func (c *Cluster) Restrict(publish, subscribe []string) {
	c.t.Helper()
	c.StopAll()
	for _, o := range c.opts {
		o.Nkeys = []*server.NkeyUser{{Nkey: o.Nkeys[0].Nkey, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe},
		}}}
	}
	c.StartAll()
}

// Connect returns a connection with all permissions, like that of the cluster's administrator.
func (c *Cluster) Connect() *nats.Conn {
	c.t.Helper()
	key, err := nats.NkeyOptionFromSeed(c.config.Credentials)
	must(c.t, err)
	conn, err := nats.Connect(c.config.URL, nats.RootCAs(c.config.CA), nats.ClientCert(c.config.Cert, c.config.Key), key)
	must(c.t, err)
	c.t.Cleanup(conn.Close)
	return conn
}

// newUser returns the seed and the public key of a new user.
func newUser(t testing.TB) (seed []byte, public string) {
	t.Helper()
	pair, err := nkeys.CreateUser()
	must(t, err)
	seed, err = pair.Seed()
	must(t, err)
	public, err = pair.PublicKey()
	must(t, err)
	return seed, public
}

func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tlsFiles are the files of an authority and of a certificate that it signed.
type tlsFiles struct {
	ca, cert, key string // files
	serverTLS     *tls.Config
}
