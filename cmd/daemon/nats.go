package daemon

import (
	"cortex/cmd/config"
	"cortex/embedded/natslog"
)

// NATSCluster returns the configuration of the external cluster that stores the log, or nil
// if the daemon stores it.
func NATSCluster(s config.Settings) *natslog.ClusterConfig {
	n := s.NATS
	if n.URL == "" {
		return nil
	}
	return &natslog.ClusterConfig{URL: n.URL, CA: n.CA, Cert: n.Cert, Key: n.Key, Credentials: n.Creds, Replicas: n.Replicas}
}
