package broker

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"cortex/events"
)

// Files are a store as it lies on disk, or with a cluster: read without a lock, and
// nothing is written. A daemon may be appending meanwhile.
type Files struct {
	cfg Config
	m   manifest
}

// OpenFiles looks at the store in a state directory. It fails with ErrNotFound
// when there is none and ErrCorrupt when it is not one that could be read.
// With a cluster that keeps the log, nothing is asked of it yet.
func OpenFiles(dir string, c *Cluster) (*Files, error) {
	cfg := Config{Dir: dir, Cluster: c}
	cfg.setDefaults()
	m, err := inspect(cfg)
	if err != nil {
		return nil, err
	}
	if m.Cluster {
		return &Files{cfg: cfg, m: *m}, nil
	}
	if err := checkMeta(cfg, *m, FactsStream); err != nil {
		return nil, err
	}
	return &Files{cfg: cfg, m: *m}, nil
}

// Host is whose log it is.
func (f *Files) Host() events.HostID { return f.m.Host }

// Stored is the position of the newest event that the manifest knew when the
// files were opened: at least so many must be there.
func (f *Files) Stored() events.Position { return f.m.Head.Position }

// Records gives every event from the first, checked by itself and as it follows
// the one before it. The first fault ends them, as ErrCorrupt; so does an end
// before what the manifest knew. A last record that is only partly there is one
// that is being written, or was when the power went, and is no fault.
func (f *Files) Records() iter.Seq2[events.Record, error] {
	if f.m.Cluster {
		return f.stored
	}
	return func(yield func(events.Record, error) bool) {
		blocks, err := listBlocks(f.cfg)
		if err == nil && len(blocks) == 0 {
			err = damaged(f.cfg.streamDir(FactsStream), errors.New("the log is empty"))
		}
		if err != nil {
			yield(events.Record{}, err)
			return
		}
		c := chainCheck{host: f.m.Host, manifest: f.m.Head}
		for i, b := range blocks {
			enough := false
			c.visit = func(r events.Record) bool {
				if c.first == 1 {
					enough = !yield(r, nil)
				}
				return c.first == 1 && !enough
			}
			err := c.block(b, i == len(blocks)-1)
			if enough {
				return
			}
			if err == nil && i == 0 && c.first != 1 {
				err = damaged(b.path, fmt.Errorf("the log begins at event %d", c.first))
			}
			if err != nil {
				yield(events.Record{}, err)
				return
			}
		}
		if err := c.complete(); err != nil {
			yield(events.Record{}, err)
		}
	}
}

// stored gives what a cluster has, like [Files.Records].
func (f *Files) stored(yield func(events.Record, error) bool) {
	ctx := context.Background()
	e, err := dial(f.cfg, f.m.Host)
	if err != nil {
		yield(events.Record{}, err)
		return
	}
	defer e.stop()
	if e.seal, err = loadSealer(f.cfg.Dir, false); err == nil {
		err = checkStreams(ctx, e, f.m, events.Link{})
	}
	var last events.Position
	if err == nil {
		last, err = e.last(ctx, f.m.Head.Position)
	}
	if err != nil {
		yield(events.Record{}, err)
		return
	}
	log := newFactLog(f.cfg, f.m.Host, e, events.Link{}, nil)
	c := chainCheck{host: f.m.Host, manifest: f.m.Head}
	for r, err := range log.scan(ctx, events.Query{}, last) {
		if err == nil {
			err = c.event(r)
		}
		if !yield(r, err) || err != nil {
			return
		}
	}
	if err := c.complete(); err != nil {
		yield(events.Record{}, err)
	}
}
