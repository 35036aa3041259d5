package broker

import (
	"errors"
	"fmt"
	"iter"

	"cortex/events"
)

// Files are a store's files, read as they lie on disk: no server, no lock, and
// nothing is written. A daemon may be appending meanwhile.
type Files struct {
	cfg Config
	m   manifest
}

// OpenFiles looks at the store in a state directory. It fails with ErrNotFound
// when there is none and ErrCorrupt when it is not one that could be read.
func OpenFiles(dir string) (*Files, error) {
	cfg := Config{Dir: dir}
	cfg.setDefaults()
	m, err := inspect(cfg)
	if err != nil {
		return nil, err
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
