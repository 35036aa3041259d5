package kvcache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"cortex/events"
)

// Pool is an open pool: nobody else changes it until it is closed. It is used by
// one goroutine.
type Pool struct {
	spec    Spec
	home    string
	lock    *os.File
	now     func() time.Time
	entries []Entry
	stats   Stats
}

// Close lets others at the pool.
func (p *Pool) Close() error { return p.lock.Close() }

// Spec is how the pool was made.
func (p *Pool) Spec() Spec { return p.spec }

func (p *Pool) index(id string) string { return filepath.Join(p.home, "entries", id+".json") }
func (p *Pool) state(id string) string { return filepath.Join(p.spec.Slots, p.file(id)) }
func (p *Pool) file(id string) string  { return "cortex-" + p.spec.Name + "-" + id + ".bin" }

// fresh is the name that a state is saved under until its key is known.
const fresh = "new"

func (p *Pool) fail(err error) error {
	if err == nil {
		return nil
	}
	return failed(events.ErrUnavailable, "pool "+p.spec.Name, "", err)
}

// sweep reads the index and removes what belongs to nothing: states without an
// entry, entries without a state.
func (p *Pool) sweep() error {
	if err := readJSON(filepath.Join(p.home, "stats.json"), &p.stats); err != nil {
		p.stats = Stats{} // counters are not worth refusing to work
	}
	entries, damaged, err := readEntries(filepath.Join(p.home, "entries"))
	if err != nil {
		return p.fail(err)
	}
	known := map[string]bool{}
	for _, e := range entries {
		if info, err := os.Stat(p.state(e.ID)); err != nil || info.Size() != e.Bytes {
			damaged = append(damaged, e.ID)
			continue
		}
		known[p.file(e.ID)] = true
		p.entries = append(p.entries, e)
	}
	for _, id := range damaged {
		p.stats.Damaged++
		if err := p.drop(id); err != nil {
			return err
		}
	}
	files, err := os.ReadDir(p.spec.Slots)
	if err != nil {
		return p.fail(err)
	}
	for _, f := range files {
		name := f.Name()
		if strings.HasPrefix(name, "cortex-"+p.spec.Name+"-") && strings.HasSuffix(name, ".bin") && !known[name] {
			if err := os.Remove(filepath.Join(p.spec.Slots, name)); err != nil {
				return p.fail(err)
			}
		}
	}
	if len(damaged) > 0 {
		return p.count()
	}
	return nil
}

// drop removes an entry, its index first: what is left after a crash in between
// belongs to nothing.
func (p *Pool) drop(id string) error {
	for _, path := range []string{p.index(id), p.state(id)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return p.fail(err)
		}
	}
	p.entries = slices.DeleteFunc(p.entries, func(e Entry) bool { return e.ID == id })
	return nil
}

// count writes the counters.
func (p *Pool) count() error { return p.fail(writeJSON(filepath.Join(p.home, "stats.json"), p.stats)) }

// turn is later than every other.
func (p *Pool) turn() int64 {
	var last int64
	for _, e := range p.entries {
		last = max(last, e.SavedTurn, e.UsedTurn)
	}
	return last + 1
}

// put writes an entry's index; the entry exists from then on.
func (p *Pool) put(e Entry) error {
	if err := writeJSON(p.index(e.ID), e); err != nil {
		return p.fail(err)
	}
	p.entries = append(slices.DeleteFunc(p.entries, func(o Entry) bool { return o.ID == e.ID }), e)
	return nil
}

// find gives the entry that a person means: by its id or the start of it, by its
// label, or "last" for the one used or saved last.
func (p *Pool) find(ref string) (Entry, error) {
	var found []Entry
	for _, e := range p.entries {
		switch {
		case ref == "last" && (len(found) == 0 || before(LRU, found[0], e) < 0):
			found = []Entry{e}
		case ref != "last" && ref != "" && (strings.HasPrefix(e.ID, ref) || e.Label == ref):
			found = append(found, e)
		}
	}
	hint := "'cortex kvcache list " + p.spec.Name + "' lists them"
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Entry{}, failed(events.ErrNotFound, "pool "+p.spec.Name, hint, fmt.Errorf("has no entry %q", ref))
	}
	return Entry{}, failed(events.ErrUsage, "pool "+p.spec.Name, hint, fmt.Errorf("has %d entries that %q may mean", len(found), ref))
}

// Pin keeps an entry from being evicted, or lets it go again.
func (p *Pool) Pin(ref string, pinned bool) (Entry, error) {
	e, err := p.find(ref)
	if err != nil {
		return Entry{}, err
	}
	e.Pinned = pinned
	return e, p.put(e)
}

// Evict removes one entry, pinned or not.
func (p *Pool) Evict(ref string) (Entry, error) {
	e, err := p.find(ref)
	if err != nil {
		return Entry{}, err
	}
	return e, p.evict([]Entry{e})
}

// Shrink evicts by the pool's policy until at most this many bytes are left. What
// is pinned stays; when that alone is more, nothing is evicted and the error is
// ErrFull.
func (p *Pool) Shrink(bytes int64) ([]Entry, error) {
	out, ok := victims(p.entries, p.spec.Policy, 0, bytes)
	if !ok {
		return nil, failed(events.ErrFull, "pool "+p.spec.Name, "unpin some first", errors.New("what is pinned is more than that"))
	}
	return out, p.evict(out)
}

func (p *Pool) evict(entries []Entry) error {
	for _, e := range entries {
		if err := p.drop(e.ID); err != nil {
			return err
		}
		p.stats.Evictions++
	}
	if len(entries) == 0 {
		return nil
	}
	return p.count()
}

// Destroy removes the pool and its states. One with pinned entries is refused
// with ErrDenied unless forced. A slot directory that was named when the pool was
// made stays, without our files. The pool must still be closed.
func (p *Pool) Destroy(force bool) error {
	pinned := slices.ContainsFunc(p.entries, func(e Entry) bool { return e.Pinned })
	if pinned && !force {
		return failed(events.ErrDenied, "pool "+p.spec.Name, "unpin them, or use --force", errors.New("has pinned entries"))
	}
	for _, e := range slices.Clone(p.entries) {
		if err := p.drop(e.ID); err != nil {
			return err
		}
	}
	if err := os.Remove(ownerFile(p.spec)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return p.fail(err)
	}
	return p.fail(os.RemoveAll(p.home))
}
