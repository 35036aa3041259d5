package filestore

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cortex/internal/atomicfile"
)

// SyncError reports that the kernel could not write a file to the disk. The kernel
// reports such a failure once; a later sync succeeds although data is missing.
type SyncError struct {
	Path string
	Err  error
}

// CorruptError implements error.
func (e *SyncError) Error() string { return "sync " + e.Path + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *SyncError) Unwrap() error { return e.Err }

// Syncer syncs the blocks of a stream after the server has written to them. The
// server answers when the kernel has a message. By itself it syncs minutes later, and
// it never syncs the name of a new block. Calls of Wait that overlap share one sync.
type Syncer struct {
	stream   Stream
	syncFile func(*os.File) error

	tickets atomic.Uint64 // tickets issued so far, one for each call of Wait

	mu         sync.Mutex
	served     uint64    // all tickets up to this one are synced
	dirModTime time.Time // modification time of the directory when it was synced last
	newest     int       // number of the newest block that was synced
	newestFile *os.File  // that block
	failed     error     // a *SyncError; never reset
}

// mtimeGranularity is longer than the coarsest modification time of a file system.
const mtimeGranularity = 50 * time.Millisecond

// NewSyncer returns a syncer of the stream's blocks. syncFile syncs one open file;
// it is (*os.File).Sync outside tests.
func (s Stream) NewSyncer(syncFile func(*os.File) error) *Syncer {
	return &Syncer{stream: s, syncFile: syncFile}
}

// Wait returns when every message that the server acknowledged before the call is
// on disk. After a [*SyncError] every later call returns it again. Wait is safe for
// concurrent use.
func (s *Syncer) Wait() error {
	ticket := s.tickets.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	if s.served >= ticket {
		return nil
	}
	issued := s.tickets.Load()
	if err := s.flush(); err != nil {
		return err
	}
	s.served = issued
	return nil
}

// flush syncs the newest block. When the directory has changed it also syncs the new
// blocks and the directory. Usually it costs one stat and one sync.
func (s *Syncer) flush() error {
	info, err := os.Stat(s.stream.BlockDir())
	if err != nil {
		return fmt.Errorf("stat the directory of the blocks: %w", err)
	}
	modTime := info.ModTime()
	if s.newestFile != nil && modTime.Equal(s.dirModTime) {
		return s.sync(s.newestFile)
	}
	if err := s.syncNewBlocks(); err != nil {
		return err
	}
	if err := atomicfile.Sync(s.stream.BlockDir()); err != nil {
		return fmt.Errorf("sync the directory of the blocks: %w", err)
	}
	if time.Since(modTime).Abs() > mtimeGranularity { // a later change may have the same time
		s.dirModTime = modTime
	}
	return nil
}

// syncNewBlocks syncs the block that was newest so far and every block after it, and
// keeps the newest open.
func (s *Syncer) syncNewBlocks() error {
	blocks, err := s.stream.listBlocks()
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if b.index < s.newest {
			continue
		}
		f, err := os.Open(b.Path)
		if errors.Is(err, os.ErrNotExist) {
			continue // the server has removed it since, with all of its messages
		}
		if err != nil {
			return fmt.Errorf("open a block: %w", err)
		}
		if err := s.sync(f); err != nil {
			return errors.Join(err, f.Close())
		}
		s.Close()
		s.newest, s.newestFile = b.index, f
	}
	return nil
}

// sync syncs a file. It stores a failure for all later calls.
func (s *Syncer) sync(f *os.File) error {
	if err := s.syncFile(f); err != nil {
		s.failed = &SyncError{f.Name(), err}
	}
	return s.failed
}

// Close closes the newest block. The caller ensures that no call of Wait is running
// or follows.
func (s *Syncer) Close() {
	if s.newestFile != nil {
		_ = s.newestFile.Close()
		s.newestFile = nil
	}
}
