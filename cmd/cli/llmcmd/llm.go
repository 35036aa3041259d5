package llmcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/output"
	"cortex/events"
)

func newLLM(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "llm COMMAND", Short: "Configure AI models: providers, keys, costs",
		Long: `Configure AI models. Cortex works without a model. With a model it understands more requests
in words.

A known provider is used when it has a key. A local server is used when it has a model name:

  cortex llm key anthropic          (prompts for the key; only root can read the file)
  CORTEX_LLM_OLLAMA_MODEL=llama3.2

CORTEX_LLM_PROVIDERS names your own providers in the order of use. For each, set
CORTEX_LLM_NAME_URL, _MODEL, _PROTOCOL (anthropic or openai), _PRICE (dollars per million
input and output tokens, such as 3/15), _RPM and _TPM. CORTEX_LLM_BUDGET_DAY and
CORTEX_LLM_BUDGET_MONTH limit the costs. You can also set these values in a file, as
llm.NAME.url and so on; see 'cortex config'.`,
		Args: cmdutil.Args(0, 0), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLLMProviders(a), newLLMHealth(a), newLLMUsage(a), newLLMTest(a), newLLMReplay(a), newLLMKey(a))
	return cmd
}

func newLLMProviders(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "providers", Short: "List the providers, and why one is not used", Args: cmdutil.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			list, err := a.Providers()
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "providers": list}, func(w io.Writer) { output.Providers(w, list) })
		},
	}
}

func newLLMHealth(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Test whether the providers answer", Args: cmdutil.Args(0, 0),
		Long: "Test whether the providers answer, and show how requests in words are resolved at the moment.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.ProvidersHealth(cmd.Context(), true)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "models": m}, func(w io.Writer) { output.ProvidersHealth(w, m) })
		},
	}
}

func newLLMUsage(a *commands) *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use: "usage", Short: "Show questions, answers and costs by day", Args: cmdutil.Args(0, 0),
		Example: "  cortex llm usage --since 2026-11-01\n  cortex llm usage --since 24h --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := a.ModelUsage(cmd.Context(), since)
			if err != nil {
				return err
			}
			return a.PrintResult(report, func(w io.Writer) { output.Usage(w, report) })
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "start at this time: a date, a time, or an age such as 24h (default: all)")
	return cmd
}

func newLLMTest(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "test [PROVIDER]", Short: "Send a provider, or all, a short test question", Args: cmdutil.Args(0, 1),
		Example: "  cortex llm test\n  cortex llm test near",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.test(cmd.Context(), append(args, "")[0]) },
	}
}

func (a *commands) test(ctx context.Context, name string) error {
	list, err := a.TestProviders(ctx, name)
	if err != nil {
		return err
	}
	err = a.PrintResult(map[string]any{"version": 1, "tests": list}, func(w io.Writer) { output.ProviderTests(w, list) })
	for _, t := range slices.Backward(list) {
		if t.Error != nil { // the last failure decides
			return iostreams.ExitCode(t.Error.Kind.ExitCode())
		}
	}
	return err
}

func newLLMReplay(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "replay ID", Short: "Print a recorded answer again", Args: cmdutil.Args(1, 1),
		Long:    "Print an answer from the log, without a model. ID is the id of an llm event.",
		Example: "  cortex events list --type 'llm.*'\n  cortex llm replay 01a20a8b-e7b4-7ce9-9a10-2b699f47bba1",
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.RecordedAnswer(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "event": r.Event, "at": r.At, "answer": r.Answer}, func(w io.Writer) { fmt.Fprintln(w, r.Answer.Answer) })
		},
	}
}

func newLLMKey(a *commands) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use: "key PROVIDER", Short: "Store the key of a provider", Args: cmdutil.Args(1, 1),
		Long:    "Store the key of a provider. The command prompts for it, or reads it from standard input.",
		Example: "  cortex llm key anthropic\n  cortex llm key openai <key.txt\n  cortex llm key openai --remove",
		RunE: func(cmd *cobra.Command, args []string) error {
			if remove {
				if _, err := a.SaveProviderKey(args[0], ""); err != nil {
					return err
				}
				a.Infof("key of %s removed", args[0])
				return nil
			}
			return a.storeKey(cmd.Context(), args[0])
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "remove the stored key")
	return cmd
}

func (a *commands) storeKey(ctx context.Context, provider string) error {
	if err := a.CheckProviderName(provider); err != nil {
		return err
	}
	key, err := a.ReadSecret(ctx, "Key for "+provider+": ")
	if err != nil {
		return err
	}
	if key == "" {
		return &events.Error{
			Op: "cli", Kind: events.ErrUsage, Subject: "key of " + provider, Err: errors.New("the key is empty; nothing was changed"),
			Hint: "enter the key, or pass it on standard input; to remove a key: cortex llm key " + provider + " --remove",
		}
	}
	path, err := a.SaveProviderKey(provider, key)
	if err != nil {
		return err
	}
	a.Infof("key stored in %s; to test it: cortex llm test %s", path, provider)
	return nil
}
