package kvcache

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"cortex/events"
)

// Policy says which entry leaves first.
type Policy string

// The policies. Between equals the one used longest ago leaves first.
const (
	LRU  Policy = "lru"  // used longest ago
	LFU  Policy = "lfu"  // used least often
	FIFO Policy = "fifo" // saved longest ago
)

// Policies lists them all.
var Policies = []Policy{LRU, LFU, FIFO}

// victims gives what must leave, in order, so that need bytes fit into budget. ok
// is false when they cannot, because of their own size or of what is pinned;
// then nothing should leave.
func victims(entries []Entry, p Policy, need, budget int64) (out []Entry, ok bool) {
	total := need
	var candidates []Entry
	for _, e := range entries {
		total += e.Bytes
		if !e.Pinned {
			candidates = append(candidates, e)
		}
	}
	slices.SortFunc(candidates, func(a, b Entry) int { return before(p, a, b) })
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

// before orders entries by who leaves first. Turns are never equal.
func before(p Policy, a, b Entry) int {
	switch p {
	case LFU:
		if c := cmp.Compare(a.Uses, b.Uses); c != 0 {
			return c
		}
	case FIFO:
		return cmp.Compare(a.SavedTurn, b.SavedTurn)
	case LRU:
	}
	return cmp.Compare(a.UsedTurn, b.UsedTurn)
}

// ParsePolicy reads a policy's name. The error is ErrUsage.
func ParsePolicy(text string) (Policy, error) {
	if p := Policy(text); slices.Contains(Policies, p) {
		return p, nil
	}
	return "", &events.Error{
		Op: "kvcache.ParsePolicy", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", text),
		Err: errors.New("is no policy: there are lru, lfu and fifo"),
	}
}
