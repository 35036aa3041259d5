package llmcmd

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
)

func newKVPin(a *commands) *cobra.Command {
	var off bool
	cmd := &cobra.Command{
		Use: "pin POOL STATE", Short: "Protect a state from eviction", Args: cmdutil.Args(2, 2), ValidArgsFunction: a.completePools,
		Example: "  cortex kvcache pin agents system-prompt",
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.PinState(cmd.Context(), args[0], args[1], !off)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "state": e}, func(io.Writer) {
				if off {
					a.Infof("%s can be evicted again", e.ID)
					return
				}
				a.Infof("%s is pinned", e.ID)
			})
		},
	}
	cmd.Flags().BoolVar(&off, "off", false, "end the protection")
	return cmd
}

func newKVEvict(a *commands) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "evict POOL [STATE]", Short: "Evict one state, or shrink a pool", Args: cmdutil.Args(1, 2), ValidArgsFunction: a.completePools,
		Long:    "Evict one state. With --to, evict states by the pool's policy until at most that much is left.",
		Example: "  cortex kvcache evict agents --to 1G",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 2) == (to != "") {
				return cmdutil.UsageError(cmd, errors.New("name either a state or --to"))
			}
			evict := a.ShrinkPool
			if to == "" {
				evict, to = a.EvictState, args[1]
			}
			evicted, err := evict(cmd.Context(), args[0], to)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "evicted": evicted}, func(w io.Writer) {
				for _, e := range evicted {
					output.SlotState(w, e)
				}
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "evict until at most this much is left: 500M, 2G")
	return cmd
}

func newKVList(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "list [POOL]", Short: "List the pools, or the states of one pool", Args: cmdutil.Args(0, 1), ValidArgsFunction: a.completePools,
		Example: "  cortex kvcache list agents",
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := a.Pools(append(args, "")[0])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "pools": list}, func(w io.Writer) {
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
		Use: "stats [POOL]", Short: "Show how many tokens the pools saved", Args: cmdutil.Args(0, 1), ValidArgsFunction: a.completePools,
		Long: `Show the counters of the pools. "Tokens not reprocessed" counts the prompt tokens that the
server did not process again after a restore with --prompt-file. The server reports this number.`,
		Example: "  cortex kvcache stats",
		RunE: func(_ *cobra.Command, args []string) error {
			list, err := a.Pools(append(args, "")[0])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "pools": list}, func(w io.Writer) {
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

func newKVSize(a *commands) *cobra.Command {
	var memory string
	cmd := &cobra.Command{
		Use: "size MODEL.gguf", Short: "Compute the memory that a model's cache takes", Args: cmdutil.Args(1, 1),
		Long: `Compute from a model's header how many bytes one token takes in the key-value cache, and the
largest context that fits beside the weights, for each type of --cache-type-k and
--cache-type-v. The available memory is the free memory of the machine or the rest of the
control group's limit, whichever is less, minus a tenth.`,
		Example: "  cortex kvcache size model.gguf --memory 16G",
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.SizeCache(args[0], memory)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "model": c.Model, "room": c.Room, "sizes": c.Sizes}, func(w io.Writer) { output.CacheSizes(w, c) })
		},
	}
	cmd.Flags().StringVar(&memory, "memory", "", "assume this much available memory: 16G (default: this machine's)")
	return cmd
}
