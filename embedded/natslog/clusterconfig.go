package natslog

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"cortex/events"
)

// DefaultRetryTimeout is how long one read or append outlasts a cluster that is away.
const DefaultRetryTimeout = 2 * time.Minute

// clusterTimeout is how long one question to a cluster waits for its answer. A server
// that went away does not say so, and asking again does no harm.
const clusterTimeout = 2 * time.Second

// clusterPullExpiry is how long one asking for messages holds: a server that had it and went
// away is missed within this time.
const clusterPullExpiry = 5 * time.Second

// ClusterConfig is how to reach NATS servers of others, with JetStream, that keep the log
// instead of a server in our process. Several hosts may keep their logs in one.
type ClusterConfig struct {
	// URL is where servers listen, several by commas: nats://HOST:PORT or
	// tls://HOST:PORT. It holds no password.
	URL string
	// CA, Cert and Key are files in PEM: who may vouch for the servers, and who we
	// are to them. "" is the system's authorities, and no certificate.
	CA, Cert, Key string
	// Credentials is a file with a user's JWT and seed, or with a seed alone. It is
	// its owner's alone to read.
	Credentials string
	// Replicas is how many servers keep each stream when it is made; 0 is 3 where
	// there is a cluster, and 1 where there is one server.
	Replicas int
	// RetryTimeout is how long one read or append waits for servers that are away; 0 is
	// [DefaultRetryTimeout].
	RetryTimeout time.Duration
}

func (c *ClusterConfig) validate() error {
	switch {
	case c == nil:
		return nil
	case c.URL == "":
		return errors.New("broker: no address of a cluster")
	case (c.Cert == "") != (c.Key == ""):
		return errors.New("broker: a certificate and its key belong together")
	case c.Replicas < 0 || c.Replicas > 5:
		return errors.New("broker: 1 to 5 replicas")
	}
	return nil
}

// connectOptions are those of both connections. What is published while the cluster is away
// fails at once, and is tried again by who knows what it is.
func (c *ClusterConfig) connectOptions() ([]nats.Option, error) {
	opts := []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectBufSize(-1),
		nats.Timeout(serverTimeout), nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2),
	}
	if c.CA != "" {
		opts = append(opts, nats.RootCAs(c.CA))
	}
	if c.Cert != "" {
		opts = append(opts, nats.ClientCert(c.Cert, c.Key))
	}
	if c.Credentials == "" {
		return opts, nil
	}
	fail := func(err error) ([]nats.Option, error) {
		return nil, &events.Error{Op: "natslog.dial", Kind: events.ErrUsage, Subject: c.Credentials, Err: err, Hint: "nats.credentials names a file of the daemon's user, mode 0600, with a user's JWT and seed, or a seed"}
	}
	info, err := os.Stat(c.Credentials)
	if err != nil {
		return fail(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fail(fmt.Errorf("others may read it: its mode is %#o", info.Mode().Perm()))
	}
	text, err := os.ReadFile(c.Credentials)
	if err != nil {
		return fail(err)
	}
	if strings.Contains(string(text), "NATS USER JWT") {
		return append(opts, nats.UserCredentials(c.Credentials)), nil
	}
	seed, err := nats.NkeyOptionFromSeed(c.Credentials)
	if err != nil {
		return fail(errors.New("no seed of a user is in it"))
	}
	return append(opts, seed), nil
}
