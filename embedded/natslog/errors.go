package natslog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"cortex/events"
)

// Error codes of the JetStream API that are handled specially.
const (
	codeNoResources       jetstream.ErrorCode = 10023 // the storage limit of the server
	codeStorageLimit      jetstream.ErrorCode = 10047 // the storage limit of the account
	codeWrongLastSequence jetstream.ErrorCode = 10071 // the stream's last sequence is not the expected one
	codeStoreFailed       jetstream.ErrorCode = 10077 // the limit of the stream, or a disk error
	codeMessageTooLong    jetstream.ErrorCode = 10054
)

// kindOf returns the kind of an error of the store or the server.
func kindOf(err error) events.ErrorKind {
	var e *events.Error
	var api *jetstream.APIError
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return events.ErrFull
	case errors.As(err, &api):
		switch api.ErrorCode {
		case codeNoResources, codeStorageLimit, codeStoreFailed:
			return events.ErrFull
		case codeMessageTooLong:
			return events.ErrUsage
		default:
		}
	}
	return events.ErrUnavailable
}

// isWrongLastSequence reports whether the server refused an append because the stream
// ends at another sequence than expected.
func isWrongLastSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeWrongLastSequence
}

// writeError returns the error of a write that failed or whose outcome is unknown.
func writeError(op string, about fmt.Stringer, err error) error {
	out := &events.Error{Op: op, Kind: kindOf(err), Subject: about.String(), Err: err}
	if out.Kind == events.ErrFull {
		out.Hint = "make room on the disk or raise the limit; nothing was written or lost"
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		out.Kind = events.ErrUnavailable
	}
	return out
}

// checkFreeSpace returns ErrFull when less than MinFree is free on the disk. The server
// stops for good when a write fails, so this check comes first.
func checkFreeSpace(cfg Config) error {
	free, err := freeBytes(cfg.Dir)
	if err != nil {
		return &events.Error{Op: "natslog.checkFreeSpace", Kind: events.ErrUnavailable, Subject: cfg.Dir, Err: err}
	}
	if free >= cfg.MinFree {
		return nil
	}
	return &events.Error{
		Op: "natslog.checkFreeSpace", Kind: events.ErrFull, Subject: cfg.Dir,
		Err:  fmt.Errorf("only %d MiB are free on the disk, %d MiB must stay free", free>>20, cfg.MinFree>>20),
		Hint: "make room on that disk; nothing was written or lost",
	}
}

// freeBytes returns how many bytes this user can still write on the disk of dir.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("read the free disk space: %w", err)
	}
	return int64(s.Bavail) * s.Bsize, nil // no disk has 2^63 blocks
}
