package natslog

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"cortex/events"
)

// ReadOnlyLog are a store as it lies on disk, or with a cluster: read without a lock, and
// nothing is written. A daemon may be appending meanwhile.
type ReadOnlyLog struct {
	cfg      Config
	manifest manifest
}

// OpenReadOnly looks at the store in a state directory. It fails with ErrNotFound
// when there is none and ErrCorrupt when it is not one that could be read.
// With a cluster that keeps the log, nothing is asked of it yet.
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

// Host is whose log it is.
func (f *ReadOnlyLog) Host() events.HostID { return f.manifest.Host }

// ManifestPosition is the position of the newest event that the manifest knew when the
// files were opened: at least so many must be there.
func (f *ReadOnlyLog) ManifestPosition() events.Position { return f.manifest.Head.Position }

// Records gives every event from the first, checked by itself and as it follows
// the one before it. The first fault ends them, as ErrCorrupt; so does an end
// before what the manifest knew. A last record that is only partly there is one
// that is being written, or was when the power went, and is no fault.
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
			enough := false
			c.visit = func(r events.Record) bool {
				if c.first == 1 {
					enough = !yield(r, nil)
				}
				return c.first == 1 && !enough
			}
			err := c.verifyBlock(b, i == len(blocks)-1)
			if enough {
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

// clusterRecords gives what a cluster has, like [ReadOnlyLog.Records].
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
