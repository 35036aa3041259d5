package natslog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cortex/events"
)

// wrongLocationError reports that the log is stored in another place than configured: in
// files or in a cluster.
func wrongLocationError(cfg Config, m manifest) error {
	err := &events.Error{
		Op: "natslog.Open", Kind: events.ErrUsage, Subject: cfg.Dir, Err: errors.New("its log is stored in files, not in a cluster"),
		Hint: "unset nats.url, or use another state directory; a log cannot be moved to a cluster",
	}
	if m.Cluster {
		err.Err, err.Hint = errors.New("its log is stored in a cluster"), "set nats.url to the address of the cluster"
	}
	return err
}

// openCluster opens the log in a cluster. Without a manifest it creates the log.
func openCluster(ctx context.Context, cfg Config, m *manifest) (*Broker, error) {
	if m == nil {
		m = &manifest{Format: manifestFormat, Creating: true, Cluster: true, Host: cfg.Host, MaxBytes: cfg.MaxBytes}
		if m.Host == "" {
			m.Host = events.HostID(cfg.NewID())
		}
		if err := writeManifest(cfg.Dir, *m, true); err != nil {
			return nil, &events.Error{Op: "natslog.openCluster", Kind: kindOf(err), Subject: cfg.Dir, Err: err}
		}
	}
	e, err := dialCluster(cfg, m.Host)
	if err != nil {
		return nil, err
	}
	b, err := openClusterLog(ctx, cfg, e, *m)
	if err != nil {
		e.stop()
		return nil, err
	}
	return b, nil
}

// openClusterLog checks the streams in the cluster. It creates them when the manifest
// marks the log as unfinished.
func openClusterLog(ctx context.Context, cfg Config, e *engine, m manifest) (*Broker, error) {
	s, err := loadSigner(cfg.Dir, m.Creating)
	if err != nil {
		return nil, err
	}
	e.signer = s
	exists := !m.Creating
	if !exists {
		if m.Streams, err = e.createStreams(ctx, m.MaxBytes); err != nil {
			return nil, &events.Error{Op: "natslog.openCluster", Kind: kindOf(err), Subject: cfg.Cluster.URL, Err: err}
		}
	}
	if err := checkStreams(ctx, e, m, events.Link{}); err != nil {
		return nil, err
	}
	last, err := e.lastPosition(ctx, m.Head.Position)
	if err != nil {
		return nil, err
	}
	b := newBroker(cfg, e, m, events.Link{})
	w, err := b.log.verifyNewest(ctx, m, last)
	if err == nil && last == 0 {
		err = b.appendFirstFact(ctx, m)
	} else if err == nil && !exists {
		err = b.manifestWriter.markCreated()
	}
	if err != nil {
		b.cancel()
		b.wg.Wait()
		return nil, err
	}
	if w.first > 1 {
		b.wg.Go(func() { b.log.verifyOlderInCluster(b.ctx, w) })
	}
	return b, nil
}

// lastPosition returns the position of the log's last event. It asks again while that is
// less than known, because a new leader may not have every event yet.
func (e *engine) lastPosition(ctx context.Context, known events.Position) (last events.Position, err error) {
	const tries = 20
	for range tries {
		err = e.withRetry(ctx, func() error {
			info, err := e.facts.Info(ctx)
			if err == nil {
				last = events.Position(info.State.LastSeq)
			}
			return err
		})
		if err != nil || last >= known {
			break
		}
		select {
		case <-time.After(e.cluster.RetryTimeout / (10 * tries)):
		case <-ctx.Done():
			return last, ctx.Err()
		}
	}
	return last, err
}

// verifyNewest checks the newest events of a log in a cluster, up to last, before the log
// opens.
func (l *factLog) verifyNewest(ctx context.Context, m manifest, last events.Position) (verifiedRange, error) {
	if m.Creating && last > 1 {
		return verifiedRange{}, corruptError(l.engine.streamName(FactsStream), errors.New("the manifest marks the log as unfinished, but there are events in it"))
	}
	if last == 0 && m.Creating {
		return verifiedRange{first: 1}, nil
	}
	from := events.Position(1)
	if first := l.cfg.verifyNewest; uint64(last) > first {
		from = max(min(m.Head.Position, last-events.Position(first)), 1) // below last
	}
	c := chainVerifier{host: l.host, manifest: m.Head, manifestHeadSeen: m.Creating}
	for r, err := range l.scan(ctx, events.Query{After: from - 1}, last) {
		if err == nil {
			err = c.verifyEvent(r)
		}
		if err != nil {
			return verifiedRange{}, err
		}
	}
	if err := c.verifyReachesManifest(); err != nil {
		return verifiedRange{}, err
	}
	l.mu.Lock()
	l.tip, l.head = c.prev, c.prev
	l.mu.Unlock()
	l.manifestWriter.recordHead(c.prev)
	return verifiedRange{first: c.first, beforeFirst: c.beforeFirst, last: c.prev}, nil
}

// verifyOlderInCluster checks the events before w while the log is in use. When it finds a
// fault it makes the log read-only.
func (l *factLog) verifyOlderInCluster(ctx context.Context, w verifiedRange) {
	c := chainVerifier{host: l.host}
	for r, err := range l.scan(ctx, events.Query{}, events.Position(w.first-1)) {
		if err == nil {
			err = c.verifyEvent(r)
		}
		switch {
		case err == nil:
		case events.KindOf(err) == events.ErrCorrupt:
			l.markReadOnly(err)
			return
		default: // unreachable, or the broker is closing: the next start checks again
			l.cfg.Logger.Warn("older events were not checked", "error", err)
			return
		}
	}
	if uint64(c.prev.Position)+1 != w.first || c.prev.Hash != w.beforeFirst {
		l.markReadOnly(corruptError(FactsStream, fmt.Errorf("event %d does not follow event %d", w.first, c.prev.Position)))
	}
}
