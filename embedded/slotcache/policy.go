package slotcache

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"cortex/events"
)

// EvictionPolicy determines which entry is evicted first.
type EvictionPolicy string

// The policies. Of equal entries, the least recently used is evicted first.
const (
	LRU  EvictionPolicy = "lru"  // least recently used
	LFU  EvictionPolicy = "lfu"  // least frequently used
	FIFO EvictionPolicy = "fifo" // saved first
)

// EvictionPolicies lists all policies.
var EvictionPolicies = []EvictionPolicy{LRU, LFU, FIFO}

// selectVictims returns the entries to evict, in order, so that need bytes fit into budget. ok
// is false when need is too large, alone or together with the pinned entries. Then nothing
// is to be evicted.
func selectVictims(entries []CacheEntry, p EvictionPolicy, need, budget int64) (out []CacheEntry, ok bool) {
	total := need
	var candidates []CacheEntry
	for _, e := range entries {
		total += e.Bytes
		if !e.Pinned {
			candidates = append(candidates, e)
		}
	}
	slices.SortFunc(candidates, func(a, b CacheEntry) int { return evictionOrder(p, a, b) })
	for _, e := range candidates {
		if total <= budget {
			break
		}
		out = append(out, e)
		total -= e.Bytes
	}
	if total > budget {
		return nil, false
	}
	return out, true
}

// evictionOrder compares two entries; the lesser one is evicted first. Sequence numbers are
// unique.
func evictionOrder(p EvictionPolicy, a, b CacheEntry) int {
	switch p {
	case LFU:
		if c := cmp.Compare(a.Uses, b.Uses); c != 0 {
			return c
		}
	case FIFO:
		return cmp.Compare(a.SavedSeq, b.SavedSeq)
	case LRU:
	}
	return cmp.Compare(a.UsedSeq, b.UsedSeq)
}

// ParseEvictionPolicy parses the name of a policy. The error is ErrUsage.
func ParseEvictionPolicy(text string) (EvictionPolicy, error) {
	if p := EvictionPolicy(text); slices.Contains(EvictionPolicies, p) {
		return p, nil
	}
	return "", &events.Error{
		Op: "slotcache.ParseEvictionPolicy", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", text),
		Err: errors.New("invalid policy: use lru, lfu or fifo"),
	}
}
