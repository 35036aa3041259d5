package slotcache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"cortex/events"
)

// Limits of a pool.
const (
	maxPoolName       = 32
	maxLabel          = 200 // bytes
	maxNote           = 200 // bytes
	lockRetryInterval = 20 * time.Millisecond
)

// Spec is the configuration of a pool.
type Spec struct {
	Version   int            `json:"version"`
	Name      string         `json:"name"`
	Budget    int64          `json:"budget_bytes"`
	Policy    EvictionPolicy `json:"policy"`
	Slots     string         `json:"slot_dir"` // the server's --slot-save-path
	Server    string         `json:"server,omitempty"`
	Note      string         `json:"note,omitempty"` // settings that a server does not report
	CreatedAt time.Time      `json:"made"`
}

// Stats counts events in a pool since it was created.
type Stats struct {
	Saves     int64 `json:"saves"`
	Restores  int64 `json:"restores"`
	Misses    int64 `json:"misses"` // prompts without a matching entry
	Evictions int64 `json:"evictions"`
	Expired   int64 `json:"expired"` // entries removed because their model changed
	Damaged   int64 `json:"damaged"` // entries removed because they were damaged
	// TokensRestored is the number of tokens in all restored states.
	TokensRestored int64 `json:"tokens_restored"`
	// TokensReused is the number of tokens of prompts that the server did not process
	// again after a restore, as reported by the server.
	TokensReused int64 `json:"tokens_not_reprocessed"`
}

// PoolStatus is the current state of a pool.
type PoolStatus struct {
	Spec
	Stats   Stats        `json:"stats"`
	Bytes   int64        `json:"bytes"`
	Entries []CacheEntry `json:"entries"`
}

// PoolDir is the directory with all pools of one owner.
type PoolDir struct {
	dir string
	now func() time.Time
}

// NewPoolDir returns a PoolDir without accessing the directory.
func NewPoolDir(dir string, now func() time.Time) *PoolDir { return &PoolDir{dir, now} }

func (s *PoolDir) path(name string, more ...string) string {
	return filepath.Join(append([]string{s.dir, name}, more...)...)
}

func newError(kind events.ErrorKind, subject, hint string, err error) error {
	return &events.Error{Op: "slotcache", Kind: kind, Subject: subject, Hint: hint, Err: err}
}

func (s Spec) validate() error {
	var errs []error
	if s.Name == "" || len(s.Name) > maxPoolName || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		errs = append(errs, fmt.Errorf("invalid pool name %[2]q: use 1 to %[1]d lower-case letters and digits", maxPoolName, s.Name))
	}
	if s.Budget < 1 {
		errs = append(errs, errors.New("the size of the pool is missing"))
	}
	if _, err := ParseEvictionPolicy(string(s.Policy)); err != nil {
		errs = append(errs, err)
	}
	if s.Slots != "" && !filepath.IsAbs(s.Slots) {
		errs = append(errs, fmt.Errorf("%q is not an absolute path", s.Slots))
	}
	if len(s.Note) > maxNote {
		errs = append(errs, fmt.Errorf("the note has more than %d bytes", maxNote))
	}
	if len(errs) == 0 {
		return nil
	}
	return newError(events.ErrUsage, "", "see 'cortex kvcache pool create --help'", errors.Join(errs...))
}

// Create creates a pool. It creates a slot directory when the spec names none. A given
// directory must exist and must not be used by another pool of the same name.
func (s *PoolDir) Create(spec Spec) (Spec, error) {
	if err := spec.validate(); err != nil {
		return Spec{}, err
	}
	if _, err := os.Stat(s.path(spec.Name, "pool.json")); err == nil {
		return Spec{}, newError(events.ErrConflict, "pool "+spec.Name, "", errors.New("it exists already"))
	}
	if err := os.MkdirAll(s.path(spec.Name, "entries"), 0o700); err != nil {
		return Spec{}, newError(events.ErrUnavailable, "pool "+spec.Name, "", err)
	}
	if spec.Slots == "" {
		spec.Slots = s.path(spec.Name, "slots")
		if err := os.MkdirAll(spec.Slots, 0o700); err != nil {
			return Spec{}, newError(events.ErrUnavailable, "pool "+spec.Name, "", err)
		}
	}
	spec.Version, spec.CreatedAt = formatVersion, s.now().UTC()
	if err := claimSlotDir(spec, s.path(spec.Name)); err != nil {
		return Spec{}, err
	}
	if err := writeJSON(s.path(spec.Name, "pool.json"), spec); err != nil {
		return Spec{}, newError(events.ErrUnavailable, "pool "+spec.Name, "", err)
	}
	return spec, nil
}

func ownerFile(spec Spec) string { return filepath.Join(spec.Slots, "cortex-"+spec.Name+".owner") }

// claimSlotDir marks a slot directory as used by this pool, so that no other pool removes
// its files.
func claimSlotDir(spec Spec, home string) error {
	owner, err := os.ReadFile(ownerFile(spec))
	if err == nil && string(owner) == home {
		return nil // an interrupted Create left it
	}
	if err == nil {
		return newError(events.ErrConflict, spec.Slots, "use another name or directory", fmt.Errorf("the pool in %s already uses this", owner))
	}
	if err := os.WriteFile(ownerFile(spec), []byte(home), 0o600); err != nil {
		return newError(events.ErrUnavailable, spec.Slots, "", err)
	}
	return nil
}

// Names returns the names of the pools.
func (s *PoolDir) Names() ([]string, error) {
	dirs, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, newError(events.ErrUnavailable, s.dir, "", err)
	}
	var out []string
	for _, d := range dirs {
		if _, err := os.Stat(s.path(d.Name(), "pool.json")); err == nil {
			out = append(out, d.Name())
		}
	}
	return out, nil
}

// Status returns the current state of a pool. It changes nothing and takes no lock.
func (s *PoolDir) Status(name string) (PoolStatus, error) {
	var st PoolStatus
	spec, err := s.spec(name)
	if err != nil {
		return st, err
	}
	st.Spec = spec
	if st.Entries, _, err = readEntries(s.path(name, "entries")); err != nil {
		return st, newError(events.ErrUnavailable, "pool "+name, "", err)
	}
	for _, e := range st.Entries {
		st.Bytes += e.Bytes
	}
	if err := readJSON(s.path(name, "stats.json"), &st.Stats); err != nil && !errors.Is(err, os.ErrNotExist) {
		return st, newError(events.ErrCorrupt, s.path(name, "stats.json"), "remove the file; the counters then start from 0", err)
	}
	return st, nil
}

func (s *PoolDir) spec(name string) (spec Spec, err error) {
	if err = (Spec{Name: name, Budget: 1, Policy: LRU}).validate(); err != nil {
		return spec, err
	}
	err = readJSON(s.path(name, "pool.json"), &spec)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return spec, newError(events.ErrNotFound, "pool "+name, "'cortex kvcache list' lists the pools, 'cortex kvcache pool create' creates one", errors.New("no such pool"))
	case errors.Is(err, os.ErrPermission):
		return spec, newError(events.ErrConfirmation, "pool "+name, "", err)
	case err != nil || spec.Version != formatVersion:
		return spec, newError(events.ErrCorrupt, s.path(name, "pool.json"), "remove the directory and create the pool again", err)
	}
	return spec, nil
}

// Open locks a pool for changes; other processes wait until it is closed. Open removes the
// remains of a crash.
func (s *PoolDir) Open(ctx context.Context, name string) (*Pool, error) {
	spec, err := s.spec(name)
	if err != nil {
		return nil, err
	}
	lock, err := acquireLock(ctx, s.path(name, "lock"))
	if err != nil {
		return nil, err
	}
	p := &Pool{spec: spec, dir: s.path(name), lock: lock, now: s.now}
	if err := p.removeOrphans(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// acquireLock takes a lock that the kernel releases when the process ends.
func acquireLock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, newError(events.ErrUnavailable, path, "", err)
	}
	tick := time.NewTicker(lockRetryInterval)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(newError(events.ErrUnavailable, path, "", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-tick.C:
		}
	}
}
