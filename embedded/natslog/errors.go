package natslog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"cortex/events"
)

// Error codes of the JetStream API that have a meaning for us.
const (
	codeNoResources       jetstream.ErrorCode = 10023 // the server's limit of storage
	codeStorageLimit      jetstream.ErrorCode = 10047 // the account's limit of storage
	codeWrongLastSequence jetstream.ErrorCode = 10071 // the stream's last sequence is not the expected one
	codeStoreFailed       jetstream.ErrorCode = 10077 // the stream's own limit, or the disk
	codeMessageTooLong    jetstream.ErrorCode = 10054
)

// kindOf classifies what a store or the server said.
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

// isWrongLastSequence reports whether the server refused an append because the stream's
// last sequence was another than expected.
func isWrongLastSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeWrongLastSequence
}

// writeError is the answer to a write that did not, or may not have, happened.
func writeError(op string, about fmt.Stringer, err error) error {
	out := &events.Error{Op: op, Kind: kindOf(err), Subject: about.String(), Err: err}
	if out.Kind == events.ErrFull {
		out.Hint = "make room, or raise the limit; nothing was lost, and nothing was written"
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		out.Kind = events.ErrUnavailable
	}
	return out
}

// checkFreeSpace refuses to write when the disk is nearly full. The server stops for
// good when a write fails, so it never gets that far.
func checkFreeSpace(cfg Config) error {
	free, err := freeBytes(cfg.Dir)
	if err != nil {
		return &events.Error{Op: "natslog.enoughRoom", Kind: events.ErrUnavailable, Subject: cfg.Dir, Err: err}
	}
	if free >= cfg.MinFree {
		return nil
	}
	return &events.Error{
		Op: "natslog.enoughRoom", Kind: events.ErrFull, Subject: cfg.Dir,
		Err:  fmt.Errorf("only %d MiB are free on its disk, %d are kept", free>>20, cfg.MinFree>>20),
		Hint: "make room on that disk; nothing was lost, and nothing was written",
	}
}

// freeBytes is what the disk under dir has left for us.
func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("ask for free space: %w", err)
	}
	return int64(s.Bavail) * s.Bsize, nil //nolint:gosec // no disk has 2^63 blocks
}
