package natslog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"cortex/embedded/natslog/filestore"
	"cortex/events"
)

// defaultVerifyNewest is how many of the newest events are checked before the log
// opens. The older ones are checked while it is in use.
const defaultVerifyNewest = 20_000

// verifiedRange is the part of the log that was checked before it opened.
type verifiedRange struct {
	first       uint64      // the first position in it
	beforeFirst events.Hash // the hash that the first record refers to
	last        events.Link // the log's last record
}

// verifyFiles checks the files of the store against the manifest before the server
// starts. It writes nothing.
func verifyFiles(cfg Config, m manifest) (verifiedRange, error) {
	for _, name := range []string{FactsStream, RequestsStream} {
		if err := checkDescription(cfg, m, name); err != nil {
			return verifiedRange{}, err
		}
	}
	blocks, err := factBlocks(cfg)
	if err != nil {
		return verifiedRange{}, err
	}
	start, err := firstBlockToVerify(cfg, blocks, m)
	if err != nil {
		return verifiedRange{}, err
	}
	c := chainVerifier{host: m.Host, manifest: m.Head}
	for i, b := range blocks[start:] {
		if err := c.verifyBlock(b, start+i == len(blocks)-1); err != nil {
			return verifiedRange{}, err
		}
	}
	if err := c.verifyReachesManifest(); err != nil {
		return verifiedRange{}, err
	}
	return verifiedRange{first: c.first, beforeFirst: c.beforeFirst, last: c.prev}, nil
}

// verifyReachesManifest checks that the log has the newest event in the manifest.
func (c *chainVerifier) verifyReachesManifest() error {
	switch {
	case c.prev.Position < c.manifest.Position:
		return corruptError(FactsStream, fmt.Errorf("the log ends at event %d, but event %d was stored", c.prev.Position, c.manifest.Position))
	case !c.manifestHeadSeen:
		return corruptError(FactsStream, fmt.Errorf("event %d of the manifest was not found", c.manifest.Position))
	}
	return nil
}

// firstBlockToVerify returns the index of the first block to check before the log opens.
// From there on are the manifest's head and the newest [defaultVerifyNewest] events.
func firstBlockToVerify(cfg Config, blocks []filestore.Block, m manifest) (int, error) {
	var last uint64
	for _, b := range blocks {
		last = max(last, b.FirstSeq)
	}
	if last == 0 {
		return 0, corruptError(cfg.files.Stream(FactsStream).Dir(), errors.New("the log is empty"))
	}
	from := min(uint64(m.Head.Position), last)
	if last > cfg.verifyNewest {
		from = min(from, last-cfg.verifyNewest)
	} else {
		from = 1
	}
	return filestore.IndexOf(blocks, from), nil
}

// chainVerifier checks the hash chain from event to event.
type chainVerifier struct {
	host     events.HostID
	manifest manifestLink
	visit    func(events.Record) bool // optional; false stops at this event

	first            uint64
	beforeFirst      events.Hash
	prev             events.Link
	manifestHeadSeen bool // the event in the manifest was found and is the same
}

// verifyBlock checks the events of one block. Only the newest block may end in an
// interrupted write, because the server writes to no other.
func (c *chainVerifier) verifyBlock(b filestore.Block, newest bool) error {
	messages, damage := b.Read()
	for _, d := range decodeAll(c.host, messages) {
		if d.err != nil {
			return corruptError(b.Path, d.err)
		}
		if err := c.verifyEvent(d.record); err != nil {
			return corruptError(b.Path, err)
		}
		if c.visit != nil && !c.visit(d.record) {
			return nil
		}
	}
	if damage == nil || newest && errors.Is(damage, filestore.ErrTorn) {
		return nil // the server cuts a torn end off; an event that was acknowledged is in the manifest
	}
	var cause *filestore.Error
	if errors.As(damage, &cause) {
		damage = cause.Err
	}
	return corruptError(b.Path, fmt.Errorf("after event %d: %w", c.prev.Position, damage))
}

// decodedRecord is the result of decodeRecord.
type decodedRecord struct {
	record events.Record
	err    error
}

// decodeAll decodes messages on all processors. Decoding takes most of the time of
// opening a log.
func decodeAll(h events.HostID, found []filestore.Message) []decodedRecord {
	out := make([]decodedRecord, len(found))
	workers := runtime.GOMAXPROCS(0)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := len(found) * w / workers; i < len(found)*(w+1)/workers; i++ {
				m := found[i]
				out[i].record, out[i].err = decodeRecord(h, m.Seq, m.Subject, events.Headers(m.Headers()), m.Data)
			}
		})
	}
	wg.Wait()
	return out
}

// verifyEvent checks that r, which decodeRecord returned, follows the event before it
// and agrees with the manifest.
func (c *chainVerifier) verifyEvent(r events.Record) error {
	if c.first == 0 {
		c.first, c.beforeFirst = uint64(r.Position), r.Prev
		if r.Position == 1 && !r.Prev.IsZero() {
			return errors.New("event 1 refers to an event before it")
		}
	} else if err := checkFollows(r, c.prev); err != nil {
		return err
	}
	c.prev = r.Link()
	if r.Position == c.manifest.Position {
		if r.ID != c.manifest.ID || r.Hash.String() != c.manifest.Hash {
			return fmt.Errorf("event %d is not the one in the manifest", r.Position)
		}
		c.manifestHeadSeen = true
	}
	return nil
}

// verifyOlderBlocks checks the events before w while the log is in use. When it finds a
// fault it makes the log read-only.
func (l *factLog) verifyOlderBlocks(ctx context.Context, cfg Config, w verifiedRange) {
	blocks, err := factBlocks(cfg)
	if err != nil {
		l.markReadOnly(err)
		return
	}
	c := chainVerifier{host: l.host}
	for _, b := range blocks {
		if ctx.Err() != nil {
			return
		}
		if b.FirstSeq >= w.first {
			break
		}
		if err := c.verifyBlock(b, false); err != nil {
			l.markReadOnly(err)
			return
		}
	}
	switch {
	case c.first != 1:
		err = fmt.Errorf("the log begins at event %d", c.first)
	case uint64(c.prev.Position)+1 != w.first || c.prev.Hash != w.beforeFirst:
		err = fmt.Errorf("event %d does not follow event %d", w.first, c.prev.Position)
	}
	if err != nil {
		l.markReadOnly(corruptError(FactsStream, err))
	}
}
