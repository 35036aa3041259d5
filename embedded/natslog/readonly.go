package natslog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"cortex/events"
)

// ReadOnlyLog reads a store's events from its files, or from a cluster. It takes no lock
// and writes nothing. A daemon may append to the store at the same time.
type ReadOnlyLog struct {
	cfg      Config
	manifest manifest
}

// OpenReadOnly opens the store in a state directory. It fails with ErrNotFound when
// there is none, and with ErrCorrupt when its manifest or description is damaged. It does
// not connect to a cluster; Records does.
func OpenReadOnly(dir string, c *ClusterConfig) (*ReadOnlyLog, error) {
	cfg := Config{Dir: dir, Cluster: c}
	cfg.setDefaults()
	if err := cfg.openFiles(); err != nil {
		return nil, err
	}
	m, err := inspectDir(cfg)
	if err != nil {
		return nil, err
	}
	if m.Cluster {
		return &ReadOnlyLog{cfg: cfg, manifest: *m}, nil
	}
	if err := checkDescription(cfg, *m, FactsStream); err != nil {
		return nil, err
	}
	return &ReadOnlyLog{cfg: cfg, manifest: *m}, nil
}

// Host returns the host whose log it is.
func (f *ReadOnlyLog) Host() events.HostID { return f.manifest.Host }

// ManifestPosition returns the position of the newest event in the manifest, as of
// OpenReadOnly. The log must have at least as many events.
func (f *ReadOnlyLog) ManifestPosition() events.Position { return f.manifest.Head.Position }

// Records yields every event from the first. It checks each event and its link to the
// event before it. It stops with ErrCorrupt at the first fault, and also when the log ends
// before the event in the manifest. An incomplete last record is not a fault: the server
// may be writing it, or a power failure interrupted the write.
func (f *ReadOnlyLog) Records() iter.Seq2[events.Record, error] {
	if f.manifest.Cluster {
		return f.clusterRecords
	}
	return func(yield func(events.Record, error) bool) {
		blocks, err := factBlocks(f.cfg)
		if err == nil && len(blocks) == 0 {
			err = corruptError(f.cfg.files.Stream(FactsStream).Dir(), errors.New("the log is empty"))
		}
		if err != nil {
			yield(events.Record{}, err)
			return
		}
		c := chainVerifier{host: f.manifest.Host, manifest: f.manifest.Head}
		for i, b := range blocks {
			stopped := false
			c.visit = func(r events.Record) bool {
				if c.first == 1 {
					stopped = !yield(r, nil)
				}
				return c.first == 1 && !stopped
			}
			err := c.verifyBlock(b, i == len(blocks)-1)
			if stopped {
				return
			}
			if err == nil && i == 0 && c.first != 1 {
				err = corruptError(b.Path, fmt.Errorf("the log begins at event %d", c.first))
			}
			if err != nil {
				yield(events.Record{}, err)
				return
			}
		}
		if err := c.verifyReachesManifest(); err != nil {
			yield(events.Record{}, err)
		}
	}
}

// clusterRecords is [ReadOnlyLog.Records] with a cluster.
func (f *ReadOnlyLog) clusterRecords(yield func(events.Record, error) bool) {
	ctx := context.Background()
	e, err := dialCluster(f.cfg, f.manifest.Host)
	if err != nil {
		yield(events.Record{}, err)
		return
	}
	defer e.stop()
	if e.signer, err = loadSigner(f.cfg.Dir, false); err == nil {
		err = checkStreams(ctx, e, f.manifest, events.Link{})
	}
	var last events.Position
	if err == nil {
		last, err = e.lastPosition(ctx, f.manifest.Head.Position)
	}
	if err != nil {
		yield(events.Record{}, err)
		return
	}
	log := newFactLog(f.cfg, f.manifest.Host, e, events.Link{}, nil)
	c := chainVerifier{host: f.manifest.Host, manifest: f.manifest.Head}
	for r, err := range log.scan(ctx, events.Query{}, last) {
		if err == nil {
			err = c.verifyEvent(r)
		}
		if !yield(r, err) || err != nil {
			return
		}
	}
	if err := c.verifyReachesManifest(); err != nil {
		yield(events.Record{}, err)
	}
}
