package natslog

import (
	"errors"

	"cortex/embedded/natslog/filestore"
	"cortex/events"
)

// syncer makes the messages of a stream durable. A nil syncer is valid and does
// nothing: it stands for a stream in a cluster, whose servers sync their own files.
type syncer struct{ files *filestore.Syncer }

// newSyncer returns the syncer of a stream, and nil with a cluster.
func newSyncer(cfg Config, stream string) *syncer {
	if cfg.Cluster != nil {
		return nil
	}
	return &syncer{cfg.files.Stream(stream).NewSyncer(cfg.syncFile)}
}

// waitDurable returns when every message that the server acknowledged before the
// call is on disk. After an error for which [isSyncFailure] holds it never succeeds
// again.
func (s *syncer) waitDurable() error {
	if s == nil {
		return nil
	}
	err := s.files.Wait()
	var failure *filestore.SyncError
	if errors.As(err, &failure) {
		return &events.Error{
			Op: "natslog.waitDurable", Kind: events.ErrUnavailable, Subject: failure.Path, Err: err,
			Hint: "check the disk and the kernel log, then restart the daemon",
		}
	}
	return err
}

func (s *syncer) close() {
	if s != nil {
		s.files.Close()
	}
}

// isSyncFailure reports whether the disk refused to store data. Then the files can
// no longer be relied on.
func isSyncFailure(err error) bool {
	var failure *filestore.SyncError
	return errors.As(err, &failure)
}
