package slotcache

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"cortex/events"
)

// EvictionPolicy says which entry leaves first.
type EvictionPolicy string

// The policies. Between equals the one used longest ago leaves first.
const (
	LRU  EvictionPolicy = "lru"  // used longest ago
	LFU  EvictionPolicy = "lfu"  // used least often
	FIFO EvictionPolicy = "fifo" // saved longest ago
)

// EvictionPolicies lists them all.
var EvictionPolicies = []EvictionPolicy{LRU, LFU, FIFO}

// selectVictims gives what must leave, in order, so that need bytes fit into budget. ok
// is false when they cannot, because of their own size or of what is pinned;
// then nothing should leave.
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

// evictionOrder orders entries by who leaves first. Turns are never equal.
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

// ParseEvictionPolicy reads a policy's name. The error is ErrUsage.
func ParseEvictionPolicy(text string) (EvictionPolicy, error) {
	if p := EvictionPolicy(text); slices.Contains(EvictionPolicies, p) {
		return p, nil
	}
	return "", &events.Error{
		Op: "slotcache.ParsePolicy", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", text),
		Err: errors.New("is no policy: there are lru, lfu and fifo"),
	}
}
