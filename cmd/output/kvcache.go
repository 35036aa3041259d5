package output

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"cortex/cmd/app"
	"cortex/cmd/units"
	"cortex/embedded/slotcache"
)

// Pools prints pools, one per line.
func Pools(w io.Writer, pools []slotcache.PoolStatus) {
	if len(pools) == 0 {
		fmt.Fprintln(w, "No pools")
		return
	}
	rows := [][]string{{"POOL", "STATES", "BYTES", "OF", "POLICY", "TOKENS NOT REPROCESSED", "SLOT DIRECTORY"}}
	for _, p := range pools {
		rows = append(rows, []string{
			p.Name, strconv.Itoa(len(p.Entries)), units.Bytes(p.Bytes), units.Bytes(p.Budget), string(p.Policy),
			strconv.FormatInt(p.Stats.TokensReused, 10), p.Slots,
		})
	}
	table(w, "", rows)
}

// Pool prints the states of one pool.
func Pool(w io.Writer, p slotcache.PoolStatus, zone *time.Location) {
	if len(p.Entries) == 0 {
		fmt.Fprintf(w, "Pool %s is empty\n", p.Name)
		return
	}
	rows := [][]string{{"STATE", "TOKENS", "BYTES", "USES", "USED", "PINNED", "LABEL", "MODEL"}}
	for _, e := range p.Entries {
		pinned := ""
		if e.Pinned {
			pinned = "pinned"
		}
		rows = append(rows, []string{
			e.ID, strconv.FormatInt(e.Tokens, 10), units.Bytes(e.Bytes), strconv.FormatInt(e.Uses, 10),
			e.UsedAt.In(zone).Format("2006-01-02 15:04:05"), pinned, e.Label, e.ModelPath,
		})
	}
	table(w, "", rows)
}

// PoolStats prints the counters of a pool.
func PoolStats(w io.Writer, p slotcache.PoolStatus) {
	s := p.Stats
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	table(w, "", [][]string{
		{"pool", p.Name + " (" + string(p.Policy) + ")"},
		{"states", fmt.Sprintf("%d, %s of %s", len(p.Entries), units.Bytes(p.Bytes), units.Bytes(p.Budget))},
		{"saves", number(s.Saves)},
		{"restores", number(s.Restores)},
		{"misses", number(s.Misses)},
		{"evicted", number(s.Evictions)},
		{"model changed", number(s.Expired)},
		{"damaged", number(s.Damaged)},
		{"tokens restored", number(s.TokensRestored)},
		{"tokens not reprocessed", number(s.TokensReused)},
	})
}

// CacheSizes prints the memory that a model's cache takes on this machine.
func CacheSizes(w io.Writer, c app.CacheSizing) {
	m, r := c.Model, c.Room
	name := m.Architecture
	if m.Name != "" {
		name = m.Name + " (" + m.Architecture + ")"
	}
	fmt.Fprintf(w, "%s: %d layers, trained for %d tokens\n", name, m.Layers, m.ContextLength)
	fmt.Fprintf(w, "memory: %s available, %s for the weights, %s reserved for the engine and other programs\n\n", units.Bytes(r.MemoryBytes), units.Bytes(r.WeightsBytes), units.Bytes(r.ReserveBytes))
	rows := [][]string{{"CACHE", "BYTES PER TOKEN", "TOKENS PER GIB", "LARGEST CONTEXT", "FULL CONTEXT TAKES"}}
	for _, s := range c.Sizes {
		whole := "-"
		if s.FullContextBytes > 0 {
			whole = units.Bytes(s.FullContextBytes)
		}
		rows = append(rows, []string{
			s.Type, strconv.FormatInt(s.BytesPerToken, 10), strconv.FormatInt(s.TokensPerGiB, 10),
			strconv.FormatInt(s.LargestContext, 10), whole,
		})
	}
	table(w, "", rows)
	for _, n := range m.Notes {
		fmt.Fprintln(w, "note: "+n)
	}
	if r.MemoryBytes < r.WeightsBytes+r.ReserveBytes {
		fmt.Fprintln(w, "note: the weights alone exceed the available memory")
	}
}

// SavedState prints a saved state, and what was removed for it.
func SavedState(w io.Writer, r slotcache.SaveResult) {
	SlotState(w, r.Entry)
	for _, e := range r.Evicted {
		fmt.Fprintf(w, "evicted %s, %d tokens\n", e.ID, e.Tokens)
	}
	expiredStates(w, r.Expired)
}

// SlotState prints a state on one line.
func SlotState(w io.Writer, e slotcache.CacheEntry) {
	fmt.Fprintf(w, "%s  %d tokens, %s\n", e.ID, e.Tokens, units.Bytes(e.Bytes))
}

func expiredStates(w io.Writer, n int) {
	if n > 0 {
		fmt.Fprintf(w, "removed %s, because the model file has changed\n", units.Count(n, "state"))
	}
}

// RestoredState prints what was restored, and how many tokens the server reused.
func RestoredState(w io.Writer, r slotcache.RestoreResult) {
	expiredStates(w, r.Expired)
	if r.Entry == nil {
		fmt.Fprintf(w, "no saved state suits this prompt; %d of %d tokens were processed\n", r.Processed, r.Prompt)
		return
	}
	fmt.Fprintf(w, "%s  %d tokens\n", r.Entry.ID, r.Restored)
	if r.Prompt == 0 {
		return
	}
	fmt.Fprintf(w, "%d of the prompt's %d tokens were not processed again\n", r.Reused, r.Prompt)
	if r.Reused == 0 {
		fmt.Fprintln(w, "note: the server did not use the state; some models need --swa-full for it")
	}
}
