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

// lock is the ownership of a state directory: a flock that ends with the
// process, however it ends. Children do not inherit it. The file is closed to
// other users: who may open it could hold the lock.
type lock struct{ f *os.File }

// acquireLock owns dir or fails at once. It makes the directory only when asked.
func acquireLock(dir string, create bool) (*lock, error) {
	const op = "natslog.takeLock"
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
	if err := f.Truncate(0); err == nil { // the pid is for people; the lock does not depend on it
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return &lock{f}, nil
}

// LockDir owns the state directory of a store that nobody uses, so that nobody does until
// release is called. It fails with ErrConflict while a daemon owns it.
func LockDir(dir string) (release func(), err error) {
	l, err := acquireLock(dir, false)
	if err != nil {
		return nil, err
	}
	return l.release, nil
}

// ownerOf says which process wrote itself into the lock file.
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
		Err: errors.New("there is no history here yet"), Hint: "the first change made with cortex creates it",
	}
}
