package broker

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"cortex/events"
)

// defaultVerifyFirst is how many of the newest events are checked before the log
// is opened; the older ones are checked while it is in use.
const defaultVerifyFirst = 20_000

// window is the part of the log that was checked when it was opened.
type window struct {
	first  uint64      // the position it begins at
	before events.Hash // what its first record follows
	last   events.Link // the log's last record
}

// checkFiles reads the store as it lies on disk and compares it with the
// manifest, before the server sees it. It writes nothing.
func checkFiles(cfg Config, m manifest) (window, error) {
	for _, name := range []string{FactsStream, RequestsStream} {
		if err := checkMeta(cfg, m, name); err != nil {
			return window{}, err
		}
	}
	blocks, err := listBlocks(cfg)
	if err != nil {
		return window{}, err
	}
	start, err := firstToCheck(cfg, blocks, m)
	if err != nil {
		return window{}, err
	}
	c := chainCheck{host: m.Host, manifest: m.Head}
	for i, b := range blocks[start:] {
		if err := c.block(b, start+i == len(blocks)-1); err != nil {
			return window{}, err
		}
	}
	if err := c.complete(); err != nil {
		return window{}, err
	}
	return window{first: c.first, before: c.before, last: c.prev}, nil
}

// complete checks that what the manifest knows was there.
func (c *chainCheck) complete() error {
	switch {
	case c.prev.Position < c.manifest.Position:
		return damaged(FactsStream, fmt.Errorf("it ends at event %d, but event %d was stored", c.prev.Position, c.manifest.Position))
	case !c.met:
		return damaged(FactsStream, fmt.Errorf("event %d, which the manifest knows, was not found", c.manifest.Position))
	}
	return nil
}

// firstToCheck is the block from which on events are checked at once: it holds
// the manifest's head and the newest [defaultVerifyFirst] events.
func firstToCheck(cfg Config, blocks []block, m manifest) (int, error) {
	var last uint64
	for _, b := range blocks {
		last = max(last, b.first)
	}
	if last == 0 {
		return 0, damaged(cfg.streamDir(FactsStream), errors.New("the log is empty"))
	}
	from := min(uint64(m.Head.Position), last)
	if last > cfg.verifyFirst {
		from = min(from, last-cfg.verifyFirst)
	} else {
		from = 1
	}
	start := 0
	for i, b := range blocks {
		if b.first != 0 && b.first <= from {
			start = i
		}
	}
	return start, nil
}

// chainCheck follows the chain through block after block.
type chainCheck struct {
	host     events.HostID
	manifest manifestLink
	visit    func(events.Record) bool // may be nil; false ends the block

	first  uint64
	before events.Hash
	prev   events.Link
	met    bool // the record that the manifest knows was seen, and is the one
}

// block checks the events of one block; newest is the one being written to, the
// only one that may end in a record which a crash cut off.
func (c *chainCheck) block(b block, newest bool) error {
	r, err := openBlock(b)
	if err != nil {
		return damaged(b.path, err)
	}
	found, broken := r.all()
	for _, d := range decodeAll(c.host, found) {
		if d.err != nil {
			return damaged(b.path, d.err)
		}
		if err := c.event(d.record); err != nil {
			return damaged(b.path, err)
		}
		if c.visit != nil && !c.visit(d.record) {
			return nil
		}
	}
	switch {
	case broken == nil:
		return nil
	case newest && r.restTorn():
		return nil // the server cuts it off; if it was acknowledged, the manifest knows
	}
	return damaged(b.path, fmt.Errorf("behind event %d: %w", c.prev.Position, broken))
}

// decoded is a stored message that was checked by itself.
type decoded struct {
	record events.Record
	err    error
}

// decodeAll checks messages by themselves, on all processors: decoding is most
// of the time that opening takes.
func decodeAll(h events.HostID, found []stored) []decoded {
	out := make([]decoded, len(found))
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := len(found) * w / workers; i < len(found)*(w+1)/workers; i++ {
				m := found[i]
				out[i].record, out[i].err = decodeRecord(h, m.seq, m.subject, m.headers(), m.data)
			}
		})
	}
	wg.Wait()
	return out
}

// event checks that r, true by itself, follows the event before it.
func (c *chainCheck) event(r events.Record) error {
	if c.first == 0 {
		c.first, c.before = uint64(r.Position), r.Prev
		if r.Position == 1 && !r.Prev.IsZero() {
			return errors.New("event 1 follows another")
		}
	} else if err := follows(r, c.prev); err != nil {
		return err
	}
	c.prev = r.Link()
	if r.Position == c.manifest.Position {
		if r.ID != c.manifest.ID || r.Hash.String() != c.manifest.Hash {
			return fmt.Errorf("event %d is not the one that was stored", r.Position)
		}
		c.met = true
	}
	return nil
}

// verifyOlder checks what lies before the window, while the log is in use. When
// it finds a fault the log becomes read-only.
func (l *factLog) verifyOlder(ctx context.Context, cfg Config, w window) {
	blocks, err := listBlocks(cfg)
	if err != nil {
		l.condemn(err)
		return
	}
	c := chainCheck{host: l.host}
	for _, b := range blocks {
		if ctx.Err() != nil {
			return
		}
		if b.first >= w.first {
			break
		}
		if err := c.block(b, false); err != nil {
			l.condemn(err)
			return
		}
	}
	switch {
	case c.first != 1:
		err = fmt.Errorf("the log begins at event %d", c.first)
	case uint64(c.prev.Position)+1 != w.first || c.prev.Hash != w.before:
		err = fmt.Errorf("event %d does not follow event %d", w.first, c.prev.Position)
	}
	if err != nil {
		l.condemn(damaged(FactsStream, err))
	}
}
