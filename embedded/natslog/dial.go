package natslog

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"cortex/events"
)

// dialCluster connects to the cluster. After that, lost connections are restored
// automatically.
func dialCluster(cfg Config, h events.HostID) (*engine, error) {
	c := *cfg.Cluster
	if c.RetryTimeout == 0 {
		c.RetryTimeout = DefaultRetryTimeout
	}
	e := &engine{cluster: &c, requestTimeout: clusterTimeout, host: h, retryQuit: make(chan struct{})}
	opts, err := c.connectOptions()
	if err != nil {
		return nil, err
	}
	for name, conn := range map[string]**nats.Conn{"cortex": &e.conn, "cortex-reads": &e.readConn} {
		*conn, err = nats.Connect(c.URL, append(opts, nats.Name(name+" "+string(h)),
			nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
				cfg.Logger.Warn("connection to the cluster lost", "name", name, "error", err)
			}),
			nats.ReconnectHandler(func(*nats.Conn) { cfg.Logger.Info("connection to the cluster restored", "name", name) }),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				cfg.Logger.Warn("nats connection", "name", name, "error", err)
			}))...)
		if err != nil {
			e.stop()
			return nil, &events.Error{Op: "natslog.dialCluster", Kind: events.ErrUnavailable, Subject: c.URL, Err: err, Hint: "check that the cluster runs and that nats.url, nats.ca and nats.credentials are right"}
		}
	}
	if e.js, err = jetstream.New(e.conn, jetstream.WithDefaultTimeout(clusterTimeout)); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

// replicas returns how many servers store a new stream.
func (e *engine) replicas() int {
	switch {
	case e.cluster == nil:
		return 1
	case e.cluster.Replicas > 0:
		return e.cluster.Replicas
	case e.conn.ConnectedClusterName() != "":
		return 3
	}
	return 1
}
