package llmcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/embedded/slotcache"
	"cortex/events"
)

// llamaServer is where a llama-server listens when nobody says otherwise.
const llamaServer = "http://127.0.0.1:8080"

func newKVCache(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "kvcache", Short: "Keep what a local model has read, and size its cache", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Keep states of a llama-server's slots, so that a prompt that was read once need not
be read again after a restart or in another slot; and say what a model's cache of
keys and values takes on this machine. No daemon is needed.

  cortex kvcache pool create agents --size 4G --policy lru
  llama-server -m model.gguf --slots --slot-save-path DIRECTORY-OF-THE-POOL
  cortex kvcache save agents --slot 0
  cortex kvcache restore agents --slot 0 --prompt-file system.txt
  cortex kvcache size model.gguf

States hold the prompts they were saved for: a pool is readable by its owner only.
The key of a server that wants one is taken from LLAMA_API_KEY.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	pool := &cobra.Command{
		Use: "pool", Short: "Make pools", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	pool.AddCommand(newPoolCreate(a))
	cmd.AddCommand(pool, newKVSave(a), newKVRestore(a), newKVPin(a), newKVEvict(a), newKVList(a), newKVStats(a), newKVDestroy(a), newKVSize(a))
	return cmd
}

// pools is the store of the person's own pools.
func (a *commands) pools() *slotcache.PoolDir {
	s := a.Settings
	if a.UID != 0 && s.IsSystem() {
		s = s.ForUser(a.Env)
	}
	return slotcache.NewPoolDir(filepath.Join(s.StateDir, "kvcache"), time.Now)
}

// withPool works on an open pool.
func (a *commands) withPool(ctx context.Context, name string, f func(*slotcache.Pool) error) error {
	p, err := a.pools().Open(ctx, name)
	if err != nil {
		return err
	}
	return errors.Join(f(p), p.Close())
}

// server is the pool's, unless a flag names another.
func (a *commands) server(p *slotcache.Pool, flag string) slotcache.LlamaServer {
	s := slotcache.LlamaServer{URL: flag, APIKey: a.Env("LLAMA_API_KEY")}
	if s.URL == "" {
		s.URL = p.Spec().Server
	}
	if s.URL == "" {
		s.URL = llamaServer
	}
	return s
}

func (a *commands) completePools(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || a.LoadSettings() != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := a.pools().Names()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func newPoolCreate(a *commands) *cobra.Command {
	var size, policy string
	var spec slotcache.Spec
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a pool", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Make a pool for saved states. The server is started with --slot-save-path and the
directory that is printed.

--settings is for what a server does not tell and a state depends on, such as
"ctk=q8_0,ctv=q8_0": states are restored only under the settings they were saved
with.`,
		Example: "  cortex kvcache pool create agents --size 4G --policy lfu",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if size == "" {
				return cmdutil.UsageError(cmd, errors.New("say with --size how much the states may take"))
			}
			spec.Name, spec.Policy = args[0], slotcache.EvictionPolicy(policy)
			if spec.Budget, err = slotcache.ParseSize(size); err != nil {
				return err
			}
			if spec, err = a.pools().Create(spec); err != nil {
				return err
			}
			a.Infof("start the server with --slots --slot-save-path and this directory:")
			return a.PrintResult(map[string]any{"version": 1, "pool": spec}, func(w io.Writer) { fmt.Fprintln(w, spec.Slots) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&size, "size", "", "how much the states may take: 500M, 2G (required)")
	f.StringVar(&policy, "policy", string(slotcache.LRU), "what leaves first: lru, lfu or fifo")
	f.StringVar(&spec.Slots, "dir", "", "the server's --slot-save-path, when it has one already")
	f.StringVar(&spec.Server, "server", "", "the server's address (default "+llamaServer+")")
	f.StringVar(&spec.Note, "settings", "", "settings of the server that it does not tell")
	_ = cmd.RegisterFlagCompletionFunc("policy", cobra.FixedCompletions([]string{"lru", "lfu", "fifo"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func newKVDestroy(a *commands) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "destroy POOL", Short: "Remove a pool and its states", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)), ValidArgsFunction: a.completePools,
		Example: "  cortex kvcache destroy agents",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.withPool(cmd.Context(), args[0], func(p *slotcache.Pool) error { return p.Destroy(force) }); err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "destroyed": args[0]}, func(io.Writer) { a.Infof("pool %s is gone", args[0]) })
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also when entries are pinned")
	return cmd
}

func newKVSave(a *commands) *cobra.Command {
	var r slotcache.SaveRequest
	var server string
	cmd := &cobra.Command{
		Use: "save POOL", Short: "Keep the state of a slot", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)), ValidArgsFunction: a.completePools,
		Long: `Make the server save the state of a slot, and keep it. What the pool has no room for
any more leaves by its policy; what is pinned stays.

The model's file is hashed the first time, which takes a while for a large one.`,
		Example: "  cortex kvcache save agents --slot 0 --label system-prompt",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withPool(cmd.Context(), args[0], func(p *slotcache.Pool) error {
				out, err := p.Save(cmd.Context(), a.server(p, server), r)
				if err != nil {
					return err
				}
				return a.PrintResult(map[string]any{"version": 1, "saved": out}, func(w io.Writer) {
					fmt.Fprintf(w, "%s  %d tokens, %s\n", out.Entry.ID, out.Entry.Tokens, output.Bytes(out.Entry.Bytes))
					for _, e := range out.Evicted {
						a.Infof("evicted %s, %d tokens", e.ID, e.Tokens)
					}
					a.sayExpired(out.Expired)
				})
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&r.Slot, "slot", 0, "the slot's number")
	f.StringVar(&r.Label, "label", "", "a name to find it by")
	f.StringVar(&r.Model, "model", "", "the model's file, when it is not where the server says")
	f.StringVar(&server, "server", "", "the server's address, when it is not the pool's")
	return cmd
}

func (a *commands) sayExpired(n int) {
	if n > 0 {
		a.Infof("removed %s of a model that has changed", output.Count(n, "state"))
	}
}

func newKVRestore(a *commands) *cobra.Command {
	var r slotcache.RestoreRequest
	var server, file string
	cmd := &cobra.Command{
		Use: "restore POOL [STATE|LABEL|last]", Short: "Put a kept state into a slot", Args: cmdutil.CheckArgs(cobra.RangeArgs(1, 2)), ValidArgsFunction: a.completePools,
		Long: `Put a kept state into a slot of the server. With --prompt-file the state that shares
most tokens with the prompt is chosen, the server processes the rest, and what it
did not have to process again is reported.`,
		Example: "  cortex kvcache restore agents --slot 0 --prompt-file system.txt\n  cortex kvcache restore agents last",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if (len(args) == 2) == (file != "") {
				return cmdutil.UsageError(cmd, errors.New("name a state or --prompt-file, and not both"))
			}
			if len(args) == 2 {
				r.Entry = args[1]
			} else if r.Prompt, err = a.readPrompt(file); err != nil {
				return err
			}
			return a.withPool(cmd.Context(), args[0], func(p *slotcache.Pool) error {
				out, err := p.Restore(cmd.Context(), a.server(p, server), r)
				if err != nil {
					return err
				}
				return a.PrintResult(map[string]any{"version": 1, "restored": out}, func(w io.Writer) {
					a.sayExpired(out.Expired)
					restored(w, out)
				})
			})
		},
	}
	f := cmd.Flags()
	f.IntVar(&r.Slot, "slot", 0, "the slot's number")
	f.StringVar(&file, "prompt-file", "", "choose the state by this prompt, and process it; - is stdin")
	f.StringVar(&r.Model, "model", "", "the model's file, when it is not where the server says")
	f.StringVar(&server, "server", "", "the server's address, when it is not the pool's")
	return cmd
}

func restored(w io.Writer, out slotcache.RestoreResult) {
	if out.Entry == nil {
		fmt.Fprintf(w, "no state is good for this prompt; %d of %d tokens were processed\n", out.Processed, out.Prompt)
		return
	}
	fmt.Fprintf(w, "%s  %d tokens\n", out.Entry.ID, out.Restored)
	if out.Prompt == 0 {
		return
	}
	fmt.Fprintf(w, "%d of the prompt's %d tokens were not processed again\n", out.Reused, out.Prompt)
	if out.Reused == 0 {
		fmt.Fprintln(w, "note: the server made no use of the state; some models need --swa-full for it")
	}
}

// maxPromptBytes bounds a prompt that is read from a file.
const maxPromptBytes = 16 << 20

func (a *commands) readPrompt(file string) (string, error) {
	in := a.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", &events.Error{Op: "cli.readPrompt", Kind: events.ErrNotFound, Err: err}
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxPromptBytes+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("read the prompt: %w", err)
	case len(raw) == 0 || len(raw) > maxPromptBytes:
		return "", &events.Error{Op: "cli.readPrompt", Kind: events.ErrUsage, Subject: file, Err: fmt.Errorf("a prompt has 1 to %d bytes", maxPromptBytes)}
	}
	return string(raw), nil
}
