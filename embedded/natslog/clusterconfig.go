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

// DefaultRetryTimeout is how long one read or append is retried while the cluster is
// unreachable.
const DefaultRetryTimeout = 2 * time.Minute

// clusterTimeout is how long one request to a cluster waits for the answer. A server that
// stopped does not answer, and a repeated request does no harm.
const clusterTimeout = 2 * time.Second

// clusterPullExpiry is how long one pull request for messages lasts. It limits how long a
// subscription waits for a server that stopped.
const clusterPullExpiry = 5 * time.Second

// ClusterConfig is how to reach external NATS servers with JetStream, which store the log
// instead of a server in this process. One cluster can store the logs of several hosts.
type ClusterConfig struct {
	// URL is a comma-separated list of server addresses, nats://HOST:PORT or
	// tls://HOST:PORT, without a password.
	URL string
	// CA, Cert and Key are PEM files: the authorities that sign the servers'
	// certificates, and the client certificate with its key. "" means the system's
	// authorities, and no client certificate.
	CA, Cert, Key string
	// Credentials is a file with a user's JWT and seed, or with a seed only. Only its
	// owner may have access to it.
	Credentials string
	// Replicas is how many servers store each stream. It takes effect when the stream
	// is created. 0 means 3 in a cluster and 1 with a single server.
	Replicas int
	// RetryTimeout is how long one read or append is retried while the cluster is
	// unreachable; 0 means [DefaultRetryTimeout].
	RetryTimeout time.Duration
}

func (c *ClusterConfig) validate() error {
	switch {
	case c == nil:
		return nil
	case c.URL == "":
		return errors.New("natslog: the address of the cluster is empty")
	case (c.Cert == "") != (c.Key == ""):
		return errors.New("natslog: a client certificate needs a key, and a key needs a certificate")
	case c.Replicas < 0 || c.Replicas > 5:
		return errors.New("natslog: the number of replicas must be 1 to 5, or 0 for the default")
	}
	return nil
}

// connectOptions returns the options of both connections. Publishing while the cluster is
// unreachable fails at once; callers retry with withRetry.
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
		return nil, &events.Error{Op: "natslog.connectOptions", Kind: events.ErrUsage, Subject: c.Credentials, Err: err, Hint: "set nats.credentials to a file with mode 0600 that belongs to the daemon's user and has a user's JWT and seed, or a seed"}
	}
	info, err := os.Stat(c.Credentials)
	if err != nil {
		return fail(err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fail(fmt.Errorf("other users have access to it: its mode is %#o", info.Mode().Perm()))
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
		return fail(errors.New("it has no seed of a user"))
	}
	return append(opts, seed), nil
}
