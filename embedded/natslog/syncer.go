package natslog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// syncer makes durable what the server has written to a stream's blocks. The server
// answers when the kernel has a message; left alone it would sync minutes later, and the
// name of a new block not at all. One sync serves everybody who waits for one: with many
// appends at once they share it.
type syncer struct {
	dir      string
	syncFile func(*os.File) error

	tickets atomic.Uint64 // tickets given out

	mu         sync.Mutex
	served     uint64    // every ticket up to this one
	dirModTime time.Time // when the directory had last changed, as of the last look
	newest     block     // the one that is written to
	newestFile *os.File  // the same
	fault      error     // a sync failed: what the kernel then still has of the file is not known
}

// mtimeGranularity is more than the distance of two times that a file system can tell apart.
const mtimeGranularity = 50 * time.Millisecond

// newSyncer gives nil, for which nothing has to be synced, where servers of others keep
// the log.
func newSyncer(cfg Config, stream string) *syncer {
	if cfg.Cluster != nil {
		return nil
	}
	return &syncer{dir: filepath.Join(cfg.streamDir(stream), "msgs"), syncFile: cfg.syncFile}
}

// waitDurable returns once everything that the server had acknowledged before is durable.
// After a sync that failed it never does again: the kernel tells of a failure once, and
// the next sync would succeed without the data.
func (s *syncer) waitDurable() error {
	if s == nil {
		return nil
	}
	ticket := s.tickets.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return s.fault
	}
	if s.served >= ticket {
		return nil
	}
	now := s.tickets.Load()
	if err := s.flush(); err != nil {
		return err
	}
	s.served = now
	return nil
}

// hasFailed reports whether a sync has failed.
func (s *syncer) hasFailed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault != nil
}

// flush syncs the block that is written to, and when there are new ones those and the
// directory. It costs one look and one sync when there are none.
func (s *syncer) flush() error {
	info, err := os.Stat(s.dir)
	if err != nil {
		return fmt.Errorf("look at the log's files: %w", err)
	}
	changed := info.ModTime()
	if s.newestFile != nil && changed.Equal(s.dirModTime) {
		return s.syncOrFail(s.newestFile)
	}
	if err := s.syncNewBlocks(); err != nil {
		return err
	}
	if err := atomicfile.Sync(s.dir); err != nil {
		return fmt.Errorf("sync the names of the log's files: %w", err)
	}
	if time.Since(changed).Abs() > mtimeGranularity { // another change could bear the same time
		s.dirModTime = changed
	}
	return nil
}

// syncNewBlocks syncs every block from the one that was written to, and holds on to the newest.
func (s *syncer) syncNewBlocks() error {
	blocks, err := listBlockFiles(s.dir)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if b.index < s.newest.index {
			continue
		}
		f, err := os.Open(b.path)
		if errors.Is(err, os.ErrNotExist) {
			continue // all of its messages were let go meanwhile
		}
		if err != nil {
			return fmt.Errorf("open a file of the log: %w", err)
		}
		if err := s.syncOrFail(f); err != nil {
			return errors.Join(err, f.Close())
		}
		s.close()
		s.newest, s.newestFile = b, f
	}
	return nil
}

// syncOrFail syncs a file, or remembers for good that it failed.
func (s *syncer) syncOrFail(f *os.File) error {
	if err := s.syncFile(f); err != nil {
		s.fault = &events.Error{
			Op: "natslog.sync", Kind: events.ErrUnavailable, Subject: f.Name(), Err: err,
			Hint: "the disk refuses to keep what is written; look at the kernel's messages, then start the daemon again",
		}
	}
	return s.fault
}

func (s *syncer) close() {
	if s != nil && s.newestFile != nil {
		_ = s.newestFile.Close()
		s.newestFile = nil
	}
}
