package output

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"cortex/embedded/slotcache"
)

// Pools writes one line for each pool.
func Pools(w io.Writer, pools []slotcache.PoolStatus) {
	if len(pools) == 0 {
		fmt.Fprintln(w, "No pools.")
		return
	}
	rows := [][]string{{"POOL", "STATES", "BYTES", "OF", "POLICY", "TOKENS NOT REPROCESSED", "SLOT DIRECTORY"}}
	for _, p := range pools {
		rows = append(rows, []string{
			p.Name, strconv.Itoa(len(p.Entries)), Bytes(p.Bytes), Bytes(p.Budget), string(p.Policy),
			strconv.FormatInt(p.Stats.TokensReused, 10), p.Slots,
		})
	}
	table(w, "", rows)
}

// Pool writes the states of one pool.
func Pool(w io.Writer, p slotcache.PoolStatus, zone *time.Location) {
	if len(p.Entries) == 0 {
		fmt.Fprintf(w, "Pool %s is empty.\n", p.Name)
		return
	}
	rows := [][]string{{"STATE", "TOKENS", "BYTES", "USES", "USED", "PINNED", "LABEL", "MODEL"}}
	for _, e := range p.Entries {
		pinned := ""
		if e.Pinned {
			pinned = "pinned"
		}
		rows = append(rows, []string{
			e.ID, strconv.FormatInt(e.Tokens, 10), Bytes(e.Bytes), strconv.FormatInt(e.Uses, 10),
			e.UsedAt.In(zone).Format("2006-01-02 15:04:05"), pinned, e.Label, e.ModelPath,
		})
	}
	table(w, "", rows)
}

// PoolStats writes what happened in a pool.
func PoolStats(w io.Writer, p slotcache.PoolStatus) {
	s := p.Stats
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	table(w, "", [][]string{
		{"pool", p.Name + " (" + string(p.Policy) + ")"},
		{"states", fmt.Sprintf("%d, %s of %s", len(p.Entries), Bytes(p.Bytes), Bytes(p.Budget))},
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

// CacheSizes writes what a model's cache costs on this machine.
func CacheSizes(w io.Writer, m slotcache.ModelInfo, r slotcache.MemoryBudget, sizes []slotcache.Sizing) {
	name := m.Architecture
	if m.Name != "" {
		name = m.Name + " (" + m.Architecture + ")"
	}
	fmt.Fprintf(w, "%s: %d layers, trained for %d tokens\n", name, m.Layers, m.ContextLength)
	fmt.Fprintf(w, "memory: %s available, %s for the weights, %s kept for the engine and others\n\n", Bytes(r.MemoryBytes), Bytes(r.WeightsBytes), Bytes(r.ReserveBytes))
	rows := [][]string{{"CACHE", "BYTES PER TOKEN", "TOKENS PER GIB", "LARGEST CONTEXT", "WHOLE CONTEXT TAKES"}}
	for _, s := range sizes {
		whole := "-"
		if s.FullContextBytes > 0 {
			whole = Bytes(s.FullContextBytes)
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
		fmt.Fprintln(w, "note: the weights alone do not fit into this machine's memory")
	}
}
