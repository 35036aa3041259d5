package daemon

import (
	"cortex/cmd/config"
	"cortex/embedded/natslog"
)

// NATSCluster is the servers of others that keep the log, nil when the daemon keeps it.
func NATSCluster(s config.Settings) *natslog.ClusterConfig {
	n := s.NATS
	if n.URL == "" {
		return nil
	}
	return &natslog.ClusterConfig{URL: n.URL, CA: n.CA, Cert: n.Cert, Key: n.Key, Credentials: n.Creds, Replicas: n.Replicas}
}
