package llmcmd

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"cortex/cmd/api"
	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/client"
	"cortex/cmd/config"
	"cortex/cmd/output"
	"cortex/events"
	spending "cortex/projections/usage"
)

func newLLM(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "llm COMMAND", Short: "The models that words are understood with: providers, keys, health, costs",
		Long: `The models that words are understood with. Cortex needs none; with one it
understands more. A provider is used when it has a key:

  cortex llm key anthropic          (asks for it; kept in a file only root reads)
  CORTEX_LLM_OLLAMA_MODEL=llama3.2  (a server of your own needs a model's name)

Providers of your own are named in CORTEX_LLM_PROVIDERS, in the order in which they
are asked, and set by CORTEX_LLM_NAME_URL, _MODEL, _PROTOCOL (anthropic or openai),
_PRICE (dollars per million tokens asked and answered, such as 3/15), _RPM and _TPM.
CORTEX_LLM_BUDGET_DAY and CORTEX_LLM_BUDGET_MONTH limit what may be spent. All of
these may be in a file instead: see 'cortex config', llm.NAME.url and so on.`,
		Args: cmdutil.CheckArgs(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLLMProviders(a), newLLMHealth(a), newLLMUsage(a), newLLMTest(a), newLLMReplay(a), newLLMKey(a))
	return cmd
}

func newLLMProviders(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "providers", Short: "List the providers that are known, and why one is not used", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			all, err := a.Settings.ModelProviders(a.Env)
			if err != nil {
				return err
			}
			var list []app.Provider
			for _, p := range all {
				list = append(list, a.Provider(p))
			}
			return a.PrintResult(map[string]any{"version": 1, "providers": list}, func(w io.Writer) { providers(w, list) })
		},
	}
}

func providers(w io.Writer, list []app.Provider) {
	rows := [][]string{{"PROVIDER", "MODEL", "ADDRESS", "KEY", "PRICE", ""}}
	for _, p := range list {
		price := "not set"
		if p.Price != "" {
			price = "$" + p.Price
		}
		state := p.Why
		if p.Used {
			state = "used"
		}
		rows = append(rows, []string{p.Name, p.Model, p.URL, p.Key, price, state})
	}
	output.Table(w, rows)
}

func newLLMHealth(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Look whether the providers would answer, and how words are understood now", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := a.Connect(cmd.Context())
			if err != nil {
				return err
			}
			m, err := c.ModelProvidersStatus(cmd.Context(), true)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "models": m}, func(w io.Writer) { health(w, m) })
		},
	}
}

// modes says in words what a mode means.
var modes = map[events.LLMMode]string{
	events.ModeFull: "a model answers", events.ModeCached: "answers given before, and the package lists",
	events.ModeOffline: "the package lists, no model", events.ModeNames: "names only: there are no package lists",
}

func health(w io.Writer, m api.ModelProvidersStatus) {
	fmt.Fprintf(w, "words are understood with: %s (%s)\n", modes[m.Mode], m.Mode)
	if m.Problem != "" {
		fmt.Fprintf(w, "wrongly set: %s\n", m.Problem)
	}
	found := map[string]string{}
	for _, p := range m.Probes {
		found[p.Name] = "answers"
		if p.Error != "" {
			found[p.Name] = p.Error
		}
	}
	var rows [][]string
	for _, h := range m.Providers {
		state := h.State
		if !h.RetryAt.IsZero() {
			state += " until " + h.RetryAt.Local().Format("15:04:05")
		}
		rows = append(rows, []string{h.Name, h.Model, state, found[h.Name]})
	}
	output.Table(w, rows)
}

func newLLMUsage(a *commands) *cobra.Command {
	var since string
	cmd := &cobra.Command{
		Use: "usage", Short: "Say what was asked and what it cost", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Example: "  cortex llm usage --since 2026-11-01\n  cortex llm usage --since 24h --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var from time.Time
			if since != "" {
				var err error
				if from, err = app.ParseTime(since); err != nil {
					return err
				}
			}
			var report spending.Report
			err := a.ReadModel(cmd.Context(), spending.Name, func(db *sql.DB) (err error) {
				report, err = spending.NewReader(db).Report(cmd.Context(), from)
				return err
			})
			if err != nil {
				return err
			}
			return a.PrintResult(report, func(w io.Writer) { output.Usage(w, report) })
		},
	}
	cmd.Flags().StringVar(&since, "since", "", "from this time on: a date, a time, or a span such as 24h")
	return cmd
}

// testQuestion is what a provider is asked to see whether it works.
const testQuestion = "Answer with the one word: ready"

func newLLMTest(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "test [PROVIDER]", Short: "Ask a provider, or all, a tiny question", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.Connect(cmd.Context())
			if err != nil {
				return err
			}
			m, err := c.ModelProvidersStatus(cmd.Context(), false)
			if err != nil {
				return err
			}
			var names []string
			for _, h := range m.Providers {
				if len(args) == 0 || h.Name == args[0] {
					names = append(names, h.Name)
				}
			}
			if len(names) == 0 {
				return &events.Error{Op: "cli.llmTest", Kind: events.ErrNotFound, Err: errors.New("no such provider can be used"), Hint: "'cortex llm providers' tells why"}
			}
			return a.testProviders(cmd.Context(), c, names)
		},
	}
}

// testView is how a test went, as JSON.
type testView struct {
	Provider  string          `json:"provider"`
	Model     string          `json:"model,omitempty"`
	LatencyMs int64           `json:"latency_ms"`
	Cost      int64           `json:"cost_uusd"`
	Error     *events.Failure `json:"error,omitempty"`
}

func (a *commands) testProviders(ctx context.Context, c *client.Client, names []string) error {
	var list []testView
	var failed error
	for _, name := range names {
		start := time.Now()
		reply, err := c.Ask(ctx, events.Question{Task: events.TaskConversation, Text: testQuestion, OnlyProvider: name}, nil)
		v := testView{Provider: name, Model: reply.Model, LatencyMs: time.Since(start).Milliseconds(), Cost: reply.Cost}
		if err != nil {
			f := events.FailureOf(err)
			v.Error, failed = &f, err
		}
		list = append(list, v)
	}
	err := a.PrintResult(map[string]any{"version": 1, "tests": list}, func(w io.Writer) {
		for _, v := range list {
			if v.Error != nil {
				fmt.Fprintf(w, "%s: %s\n", v.Provider, v.Error.Message)
				continue
			}
			fmt.Fprintf(w, "%s: %s answers in %d ms, %s\n", v.Provider, v.Model, v.LatencyMs, output.MicroUSD(v.Cost))
		}
	})
	if failed != nil {
		return iostreams.ExitCode(events.KindOf(failed).ExitCode())
	}
	return err
}

func newLLMReplay(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "replay ID", Short: "Give an answer again as it was recorded, without a model", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Give an answer again as it was recorded, without a model. ID is that of an llm event;
'cortex events list --type "llm.*"' shows them.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := a.Connect(cmd.Context())
			if err != nil {
				return err
			}
			for l, err := range c.Events(cmd.Context(), client.StreamOptions{Kind: string(events.KindLLMCompleted)}) {
				if err != nil {
					return err
				}
				if l.Event == nil || string(l.Event.ID) != args[0] && string(l.Event.Causation) != args[0] {
					continue
				}
				f, err := events.Decode(l.Event.Event)
				if err != nil {
					return err
				}
				done, ok := f.(*events.LLMCompleted)
				if !ok {
					break
				}
				return a.PrintResult(map[string]any{"version": 1, "event": l.Event.ID, "at": l.Event.Time, "answer": done}, func(w io.Writer) { fmt.Fprintln(w, done.Answer) })
			}
			return &events.Error{Op: "cli.llmReplay", Kind: events.ErrNotFound, Subject: args[0], Err: errors.New("is no recorded answer"), Hint: "see: cortex events list --type 'llm.*'"}
		},
	}
}

func newLLMKey(a *commands) *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use: "key PROVIDER", Short: "Save a provider's key, from the terminal or from standard input", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Example: "  cortex llm key anthropic\n  cortex llm key openai < key.txt\n  cortex llm key openai --remove",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := config.ParseProviderName(args[0])
			if err != nil {
				return err
			}
			key := ""
			if !remove {
				if key, err = a.ReadSecret(cmd.Context(), "Key for "+name+": "); err != nil {
					return err
				}
				if key == "" {
					return &events.Error{Op: "cli.llmKey", Kind: events.ErrUsage, Err: errors.New("no key was given; nothing was changed")}
				}
			}
			path, err := a.Settings.SaveModelKey(name, key, a.Env)
			if err != nil {
				return err
			}
			if remove {
				a.Infof("no key is kept for %s", name)
				return nil
			}
			a.Infof("kept in %s; 'cortex llm test %s' tries it", path, name)
			return nil
		},
	}
	cmd.Flags().BoolVar(&remove, "remove", false, "keep no key for this provider")
	return cmd
}

// ReadSecret reads one line without showing it.
func (a *commands) ReadSecret(ctx context.Context, prompt string) (string, error) {
	if f, ok := a.Stdin.(*os.File); ok && iostreams.IsTerminal(f) {
		fmt.Fprint(a.Stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(a.Stderr)
		return strings.TrimSpace(string(b)), errors.Join(err, ctx.Err())
	}
	line, err := bufio.NewReader(io.LimitReader(a.Stdin, 8<<10)).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return strings.TrimSpace(line), err
}
