package llmcmd

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
)

// evictionPolicies are the values of --policy.
var evictionPolicies = []string{"lru", "lfu", "fifo"}

func newKVCache(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "kvcache", Short: "Save and restore llama-server prompt caches", Args: cmdutil.Args(0, 0),
		Long: `Save and restore the prompt caches of a llama-server, so that a prompt need not be processed
again after a restart or in another slot. Compute the memory that a model's key-value cache
takes on this machine. No daemon is needed.

A saved state contains its prompt. Only the owner of a pool can read it. If the server needs
a key, set LLAMA_API_KEY.`,
		Example: `  cortex kvcache pool create agents --size 4G --policy lru
  llama-server -m model.gguf --slots --slot-save-path DIRECTORY-OF-THE-POOL
  cortex kvcache save agents --slot 0
  cortex kvcache restore agents --slot 0 --prompt-file system.txt
  cortex kvcache size model.gguf`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	pool := &cobra.Command{
		Use: "pool", Short: "Create pools of saved states", Args: cmdutil.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	pool.AddCommand(newPoolCreate(a))
	cmd.AddCommand(pool, newKVSave(a), newKVRestore(a), newKVPin(a), newKVEvict(a), newKVList(a), newKVStats(a), newKVDestroy(a), newKVSize(a))
	return cmd
}

func (a *commands) completePools(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || a.LoadSettings() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := a.PoolNames()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func newPoolCreate(a *commands) *cobra.Command {
	var o app.PoolOptions
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a pool for saved states", Args: cmdutil.Args(1, 1),
		Long: `Create a pool for saved states. Start the server with --slot-save-path and the directory that
this command prints.

With --settings you name server settings that a state depends on and that the server does not
report, such as "ctk=q8_0,ctv=q8_0". A state is restored only with the settings that it was
saved with.`,
		Example: "  cortex kvcache pool create agents --size 4G --policy lfu",
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.Size == "" {
				return cmdutil.UsageError(cmd, errors.New("--size is missing: name the disk space for saved states, such as 4G"))
			}
			o.Name = args[0]
			spec, err := a.CreatePool(o)
			if err != nil {
				return err
			}
			a.Infof("start the server with --slots --slot-save-path and this directory:")
			return a.PrintResult(map[string]any{"version": 1, "pool": spec}, func(w io.Writer) { fmt.Fprintln(w, spec.Slots) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Size, "size", "", "limit the disk space of saved states: 500M, 2G (required)")
	f.StringVar(&o.Policy, "policy", evictionPolicies[0], "evict by this policy: "+strings.Join(evictionPolicies, ", "))
	f.StringVar(&o.Dir, "dir", "", "use this existing --slot-save-path of the server (default: a new directory)")
	f.StringVar(&o.Server, "server", "", "use the server at this address (default "+app.DefaultLlamaServer+")")
	f.StringVar(&o.Note, "settings", "", "name server settings that the server does not report")
	_ = cmd.RegisterFlagCompletionFunc("policy", cobra.FixedCompletions(evictionPolicies, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func newKVDestroy(a *commands) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "destroy POOL", Short: "Delete a pool and its states", Args: cmdutil.Args(1, 1), ValidArgsFunction: a.completePools,
		Example: "  cortex kvcache destroy agents",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.DestroyPool(cmd.Context(), args[0], force); err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "destroyed": args[0]}, func(io.Writer) { a.Infof("pool %s deleted", args[0]) })
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "delete pinned states too")
	return cmd
}

// slotFlags registers the flags that name a slot.
func slotFlags(cmd *cobra.Command, o *app.SlotOptions) {
	f := cmd.Flags()
	f.IntVar(&o.Slot, "slot", 0, "use the slot with this number")
	f.StringVar(&o.Model, "model", "", "read this model file (default: the file that the server reports)")
	f.StringVar(&o.Server, "server", "", "use the server at this address (default: the pool's server)")
}

func newKVSave(a *commands) *cobra.Command {
	var o app.SlotOptions
	var label string
	cmd := &cobra.Command{
		Use: "save POOL", Short: "Save the state of a slot", Args: cmdutil.Args(1, 1), ValidArgsFunction: a.completePools,
		Long: `Save the state of a slot in a pool. If the pool is full, other states are evicted by its
policy, except pinned ones.

The first save hashes the model file. This takes a while for a large file.`,
		Example: "  cortex kvcache save agents --slot 0 --label system-prompt",
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := a.SaveSlot(cmd.Context(), args[0], label, o)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "saved": out}, func(w io.Writer) { output.SavedState(w, out) })
		},
	}
	slotFlags(cmd, &o)
	cmd.Flags().StringVar(&label, "label", "", "name the state, so that 'restore' finds it by this name")
	return cmd
}

func newKVRestore(a *commands) *cobra.Command {
	var o app.SlotOptions
	var file string
	cmd := &cobra.Command{
		Use: "restore POOL [STATE|LABEL|last]", Short: "Restore a saved state into a slot", Args: cmdutil.Args(1, 2), ValidArgsFunction: a.completePools,
		Long: `Restore a saved state into a slot of the server. With --prompt-file, restore the state that
shares most tokens with the prompt; the server then processes the remaining tokens. The output
shows how many tokens were not processed again.`,
		Example: "  cortex kvcache restore agents --slot 0 --prompt-file system.txt\n  cortex kvcache restore agents last",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 2) == (file != "") {
				return cmdutil.UsageError(cmd, errors.New("name either a state or --prompt-file"))
			}
			r := app.RestoreOptions{SlotOptions: o, PromptFile: file, Stdin: a.Stdin}
			if file == "" {
				r.State = args[1]
			}
			out, err := a.RestoreSlot(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "restored": out}, func(w io.Writer) { output.RestoredState(w, out) })
		},
	}
	slotFlags(cmd, &o)
	cmd.Flags().StringVar(&file, "prompt-file", "", "choose the state by the prompt in this file, and process the prompt (-: standard input)")
	return cmd
}
