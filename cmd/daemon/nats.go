package daemon

import (
	"cortex/cmd/settings"
	"cortex/embedded/broker"
)

// Cluster is the servers of others that keep the log, nil when the daemon keeps it.
func Cluster(s settings.Settings) *broker.Cluster {
	n := s.NATS
	if n.URL == "" {
		return nil
	}
	return &broker.Cluster{URL: n.URL, CA: n.CA, Cert: n.Cert, Key: n.Key, Credentials: n.Creds, Replicas: n.Replicas}
}
