package natslog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// lock is the lock of a state directory, a flock. The kernel releases it when the
// process ends. Child processes do not inherit it. Other users have no access to the
// file, because opening it is enough to take the lock.
type lock struct{ f *os.File }

// acquireLock locks dir or fails at once. With create it creates a missing directory.
func acquireLock(dir string, create bool) (*lock, error) {
	const op = "natslog.acquireLock"
	if create {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, &events.Error{Op: op, Kind: events.ErrUnavailable, Subject: dir, Err: err}
		}
	} else if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, noStoreError(dir)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &events.Error{Op: op, Kind: events.ErrUnavailable, Subject: dir, Err: err}
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &events.Error{
				Op: op, Kind: events.ErrConflict, Subject: dir,
				Err:  fmt.Errorf("another cortex daemon owns it%s", ownerOf(f)),
				Hint: "use that daemon, or stop it with 'cortex daemon stop'",
			}
		}
		return nil, &events.Error{Op: op, Kind: events.ErrUnavailable, Subject: dir, Err: fmt.Errorf("lock: %w", err)}
	}
	if err := f.Truncate(0); err == nil { // the pid is only information for users
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return &lock{f}, nil
}

// LockDir locks the state directory until release is called, so that no daemon can open
// the store. It fails with ErrConflict while a daemon has it open.
func LockDir(dir string) (release func(), err error) {
	l, err := acquireLock(dir, false)
	if err != nil {
		return nil, err
	}
	return l.release, nil
}

// ownerOf returns " (process PID)" with the pid in the lock file, or "".
func ownerOf(f *os.File) string {
	b := make([]byte, 16)
	n, _ := f.ReadAt(b, 0)
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

func (l *lock) release() { _ = l.f.Close() }

func noStoreError(dir string) error {
	return &events.Error{
		Op: "natslog.Open", Kind: events.ErrNotFound, Subject: dir,
		Err: errors.New("no history is recorded yet"), Hint: "the first change made with cortex creates it",
	}
}
