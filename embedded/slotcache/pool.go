package slotcache

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

// Pool is an open pool. No other process changes it until it is closed. A Pool is for one
// goroutine.
type Pool struct {
	spec    Spec
	dir     string
	lock    *os.File
	now     func() time.Time
	entries []CacheEntry
	stats   Stats
}

// Close unlocks the pool.
func (p *Pool) Close() error { return p.lock.Close() }

// Spec returns the pool's configuration.
func (p *Pool) Spec() Spec { return p.spec }

func (p *Pool) indexPath(id string) string { return filepath.Join(p.dir, "entries", id+".json") }
func (p *Pool) statePath(id string) string { return filepath.Join(p.spec.Slots, p.stateName(id)) }
func (p *Pool) stateName(id string) string { return "cortex-" + p.spec.Name + "-" + id + ".bin" }

// pendingID is the id of a state while it is saved and its key is not known.
const pendingID = "new"

func (p *Pool) wrapError(err error) error {
	if err == nil {
		return nil
	}
	return newError(events.ErrUnavailable, "pool "+p.spec.Name, "", err)
}

// removeOrphans reads the index. It removes states without an entry and entries without a
// state.
func (p *Pool) removeOrphans() error {
	if err := readJSON(filepath.Join(p.dir, "stats.json"), &p.stats); err != nil {
		p.stats = Stats{} // the pool works without its counters
	}
	entries, damaged, err := readEntries(filepath.Join(p.dir, "entries"))
	if err != nil {
		return p.wrapError(err)
	}
	known := map[string]bool{}
	for _, e := range entries {
		if info, err := os.Stat(p.statePath(e.ID)); err != nil || info.Size() != e.Bytes {
			damaged = append(damaged, e.ID)
			continue
		}
		known[p.stateName(e.ID)] = true
		p.entries = append(p.entries, e)
	}
	for _, id := range damaged {
		p.stats.Damaged++
		if err := p.remove(id); err != nil {
			return err
		}
	}
	files, err := os.ReadDir(p.spec.Slots)
	if err != nil {
		return p.wrapError(err)
	}
	for _, f := range files {
		name := f.Name()
		if strings.HasPrefix(name, "cortex-"+p.spec.Name+"-") && strings.HasSuffix(name, ".bin") && !known[name] {
			if err := os.Remove(filepath.Join(p.spec.Slots, name)); err != nil {
				return p.wrapError(err)
			}
		}
	}
	if len(damaged) > 0 {
		return p.saveStats()
	}
	return nil
}

// remove removes an entry. It removes the index file first, so a crash in between leaves
// an orphan that the next Open removes.
func (p *Pool) remove(id string) error {
	for _, path := range []string{p.indexPath(id), p.statePath(id)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return p.wrapError(err)
		}
	}
	p.entries = slices.DeleteFunc(p.entries, func(e CacheEntry) bool { return e.ID == id })
	return nil
}

// saveStats writes the counters.
func (p *Pool) saveStats() error {
	return p.wrapError(writeJSON(filepath.Join(p.dir, "stats.json"), p.stats))
}

// nextSeq returns a sequence number greater than all others.
func (p *Pool) nextSeq() int64 {
	var last int64
	for _, e := range p.entries {
		last = max(last, e.SavedSeq, e.UsedSeq)
	}
	return last + 1
}

// writeIndex writes the index file of an entry. From then on the entry exists.
func (p *Pool) writeIndex(e CacheEntry) error {
	if err := writeJSON(p.indexPath(e.ID), e); err != nil {
		return p.wrapError(err)
	}
	p.entries = append(slices.DeleteFunc(p.entries, func(o CacheEntry) bool { return o.ID == e.ID }), e)
	return nil
}

// find returns the entry with an id, a unique prefix of an id, or a label. "last" is the
// entry that was used or saved last.
func (p *Pool) find(ref string) (CacheEntry, error) {
	var found []CacheEntry
	for _, e := range p.entries {
		switch {
		case ref == "last" && (len(found) == 0 || evictionOrder(LRU, found[0], e) < 0):
			found = []CacheEntry{e}
		case ref != "last" && ref != "" && (strings.HasPrefix(e.ID, ref) || e.Label == ref):
			found = append(found, e)
		}
	}
	hint := "'cortex kvcache list " + p.spec.Name + "' lists the entries"
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return CacheEntry{}, newError(events.ErrNotFound, "pool "+p.spec.Name, hint, fmt.Errorf("no entry %q", ref))
	}
	return CacheEntry{}, newError(events.ErrUsage, "pool "+p.spec.Name, hint, fmt.Errorf("%d entries match %q", len(found), ref))
}

// Pin pins or unpins an entry. A pinned entry is not evicted to make room.
func (p *Pool) Pin(ref string, pinned bool) (CacheEntry, error) {
	e, err := p.find(ref)
	if err != nil {
		return CacheEntry{}, err
	}
	e.Pinned = pinned
	return e, p.writeIndex(e)
}

// Evict removes one entry, pinned or not.
func (p *Pool) Evict(ref string) (CacheEntry, error) {
	e, err := p.find(ref)
	if err != nil {
		return CacheEntry{}, err
	}
	return e, p.evict([]CacheEntry{e})
}

// Shrink evicts unpinned entries by the pool's policy until at most this many bytes are left.
// When the pinned entries alone have more, it evicts nothing and fails with ErrFull.
func (p *Pool) Shrink(bytes int64) ([]CacheEntry, error) {
	out, ok := selectVictims(p.entries, p.spec.Policy, 0, bytes)
	if !ok {
		return nil, newError(events.ErrFull, "pool "+p.spec.Name, "unpin some entries first", errors.New("the pinned entries have more bytes than that"))
	}
	return out, p.evict(out)
}

func (p *Pool) evict(entries []CacheEntry) error {
	for _, e := range entries {
		if err := p.remove(e.ID); err != nil {
			return err
		}
		p.stats.Evictions++
	}
	if len(entries) == 0 {
		return nil
	}
	return p.saveStats()
}

// Destroy removes the pool and its states. Without force it fails with ErrDenied when the
// pool has pinned entries. A slot directory that was given at creation is not removed, only
// the pool's files in it. The caller must still close the pool.
func (p *Pool) Destroy(force bool) error {
	pinned := slices.ContainsFunc(p.entries, func(e CacheEntry) bool { return e.Pinned })
	if pinned && !force {
		return newError(events.ErrDenied, "pool "+p.spec.Name, "unpin them, or use --force", errors.New("it has pinned entries"))
	}
	for _, e := range slices.Clone(p.entries) {
		if err := p.remove(e.ID); err != nil {
			return err
		}
	}
	if err := os.Remove(ownerFile(p.spec)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return p.wrapError(err)
	}
	return p.wrapError(os.RemoveAll(p.dir))
}
