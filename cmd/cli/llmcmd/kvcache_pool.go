package llmcmd

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/embedded/slotcache"
)

func newKVPin(a *commands) *cobra.Command {
	var off bool
	cmd := &cobra.Command{
		Use: "pin POOL STATE", Short: "Keep a state from being evicted", Args: cmdutil.CheckArgs(cobra.ExactArgs(2)), ValidArgsFunction: a.completePools,
		Example: "  cortex kvcache pin agents system-prompt",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withPool(cmd.Context(), args[0], func(p *slotcache.Pool) error {
				e, err := p.Pin(args[1], !off)
				if err != nil {
					return err
				}
				return a.PrintResult(map[string]any{"version": 1, "state": e}, func(io.Writer) {
					if off {
						a.Infof("%s may be evicted again", e.ID)
						return
					}
					a.Infof("%s is pinned", e.ID)
				})
			})
		},
	}
	cmd.Flags().BoolVar(&off, "off", false, "let it be evicted again")
	return cmd
}

func newKVEvict(a *commands) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "evict POOL [STATE]", Short: "Remove a state, or as many as need be", Args: cmdutil.CheckArgs(cobra.RangeArgs(1, 2)), ValidArgsFunction: a.completePools,
		Long:    "Remove one state, or with --to those that the pool's policy chooses until no more than that much is left.",
		Example: "  cortex kvcache evict agents --to 1G",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 2) == (to != "") {
				return cmdutil.UsageError(cmd, errors.New("name a state or --to, and not both"))
			}
			return a.withPool(cmd.Context(), args[0], func(p *slotcache.Pool) error {
				gone, err := evict(p, args[1:], to)
				if err != nil {
					return err
				}
				return a.PrintResult(map[string]any{"version": 1, "evicted": gone}, func(w io.Writer) {
					for _, e := range gone {
						fmt.Fprintf(w, "%s  %d tokens, %s\n", e.ID, e.Tokens, output.Bytes(e.Bytes))
					}
				})
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "evict until this much is left: 500M, 2G")
	return cmd
}

func evict(p *slotcache.Pool, named []string, to string) ([]slotcache.CacheEntry, error) {
	if len(named) > 0 {
		e, err := p.Evict(named[0])
		return []slotcache.CacheEntry{e}, err
	}
	n, err := slotcache.ParseSize(to)
	if err != nil {
		return nil, err
	}
	gone, err := p.Shrink(n)
	return append([]slotcache.CacheEntry{}, gone...), err
}

func newKVList(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "list [POOL]", Short: "List the pools, or the states of one", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)), ValidArgsFunction: a.completePools,
		Example: "  cortex kvcache list agents",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.showPools(args, func(w io.Writer, list []slotcache.PoolStatus) {
				if len(args) == 0 {
					output.Pools(w, list)
					return
				}
				output.Pool(w, list[0], time.Local)
			})
		},
	}
}

func newKVStats(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "stats [POOL]", Short: "Tell what the pools have spared", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)), ValidArgsFunction: a.completePools,
		Long: `Tell what happened in the pools. "Tokens not reprocessed" is what the server itself
said it need not process of prompts, after a restore with --prompt-file.`,
		Example: "  cortex kvcache stats",
		RunE: func(_ *cobra.Command, args []string) error {
			return a.showPools(args, func(w io.Writer, list []slotcache.PoolStatus) {
				for i, p := range list {
					if i > 0 {
						fmt.Fprintln(w)
					}
					output.PoolStats(w, p)
				}
			})
		},
	}
}

// showPools answers with the named pool, or with all.
func (a *commands) showPools(named []string, text func(io.Writer, []slotcache.PoolStatus)) error {
	store := a.pools()
	names := named
	if len(named) == 0 {
		var err error
		if names, err = store.Names(); err != nil {
			return err
		}
	}
	list := []slotcache.PoolStatus{}
	for _, name := range names {
		st, err := store.Status(name)
		if err != nil {
			return err
		}
		if st.Entries == nil {
			st.Entries = []slotcache.CacheEntry{}
		}
		list = append(list, st)
	}
	return a.PrintResult(map[string]any{"version": 1, "pools": list}, func(w io.Writer) { text(w, list) })
}
