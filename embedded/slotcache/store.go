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
	maxPoolName = 32
	maxLabel    = 200 // bytes
	maxNote     = 200 // bytes
	lockEvery   = 20 * time.Millisecond
)

// Spec is how a pool was made.
type Spec struct {
	Version   int            `json:"version"`
	Name      string         `json:"name"`
	Budget    int64          `json:"budget_bytes"`
	Policy    EvictionPolicy `json:"policy"`
	Slots     string         `json:"slot_dir"` // the server's --slot-save-path
	Server    string         `json:"server,omitempty"`
	Note      string         `json:"note,omitempty"` // settings that a server does not tell
	CreatedAt time.Time      `json:"made"`
}

// Stats counts what happened in a pool since it was made.
type Stats struct {
	Saves     int64 `json:"saves"`
	Restores  int64 `json:"restores"`
	Misses    int64 `json:"misses"` // prompts that no entry was good for
	Evictions int64 `json:"evictions"`
	Expired   int64 `json:"expired"` // left because their model changed
	Damaged   int64 `json:"damaged"` // left because they were not what had been saved
	// TokensRestored were in a slot without having been processed again.
	TokensRestored int64 `json:"tokens_restored"`
	// TokensReused is what the server itself said it need not process of the
	// prompts that were asked for, after a restore.
	TokensReused int64 `json:"tokens_not_reprocessed"`
}

// PoolStatus is a pool as it stands.
type PoolStatus struct {
	Spec
	Stats   Stats        `json:"stats"`
	Bytes   int64        `json:"bytes"`
	Entries []CacheEntry `json:"entries"`
}

// PoolDir is the directory that all pools of one owner are kept in.
type PoolDir struct {
	dir string
	now func() time.Time
}

// NewPoolDir names a directory; it touches nothing.
func NewPoolDir(dir string, now func() time.Time) *PoolDir { return &PoolDir{dir, now} }

func (s *PoolDir) path(name string, more ...string) string {
	return filepath.Join(append([]string{s.dir, name}, more...)...)
}

func newError(kind events.ErrorKind, subject, hint string, err error) error {
	return &events.Error{Op: "kvcache", Kind: kind, Subject: subject, Hint: hint, Err: err}
}

func (s Spec) validate() error {
	var errs []error
	if s.Name == "" || len(s.Name) > maxPoolName || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		errs = append(errs, fmt.Errorf("a pool's name is 1 to %d lower-case letters and digits, not %q", maxPoolName, s.Name))
	}
	if s.Budget < 1 {
		errs = append(errs, errors.New("a pool needs a size"))
	}
	if _, err := ParseEvictionPolicy(string(s.Policy)); err != nil {
		errs = append(errs, err)
	}
	if s.Slots != "" && !filepath.IsAbs(s.Slots) {
		errs = append(errs, fmt.Errorf("%q is not an absolute path", s.Slots))
	}
	if len(s.Note) > maxNote {
		errs = append(errs, fmt.Errorf("a note has at most %d bytes", maxNote))
	}
	if len(errs) == 0 {
		return nil
	}
	return newError(events.ErrUsage, "", "see 'cortex kvcache pool create --help'", errors.Join(errs...))
}

// Create makes a pool. Its slot directory is made when the spec names none;
// a directory that is named must exist and belong to no other pool of this name.
func (s *PoolDir) Create(spec Spec) (Spec, error) {
	if err := spec.validate(); err != nil {
		return Spec{}, err
	}
	if _, err := os.Stat(s.path(spec.Name, "pool.json")); err == nil {
		return Spec{}, newError(events.ErrConflict, "pool "+spec.Name, "", errors.New("exists already"))
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

// claimSlotDir marks a slot directory as used by this pool, so that no other sweeps it.
func claimSlotDir(spec Spec, home string) error {
	owner, err := os.ReadFile(ownerFile(spec))
	if err == nil && string(owner) == home {
		return nil // left by a crash while it was made
	}
	if err == nil {
		return newError(events.ErrConflict, spec.Slots, "use another name or directory", fmt.Errorf("is used by the pool in %s", owner))
	}
	if err := os.WriteFile(ownerFile(spec), []byte(home), 0o600); err != nil {
		return newError(events.ErrUnavailable, spec.Slots, "", err)
	}
	return nil
}

// Names lists the pools.
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

// PoolStatus tells how a pool stands. It changes nothing and waits for nobody.
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
		return st, newError(events.ErrCorrupt, s.path(name, "stats.json"), "remove it to begin counting anew", err)
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
		return spec, newError(events.ErrNotFound, "pool "+name, "'cortex kvcache list' lists them, 'cortex kvcache pool create' makes one", errors.New("there is no such pool"))
	case errors.Is(err, os.ErrPermission):
		return spec, newError(events.ErrConfirmation, "pool "+name, "", err)
	case err != nil || spec.Version != formatVersion:
		return spec, newError(events.ErrCorrupt, s.path(name, "pool.json"), "remove the directory and make the pool anew", err)
	}
	return spec, nil
}

// Open gives a pool to change; others wait until it is closed. What a crash left
// behind is swept.
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
	tick := time.NewTicker(lockEvery)
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
