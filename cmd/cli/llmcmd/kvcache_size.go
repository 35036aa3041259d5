package llmcmd

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/embedded/slotcache"
	"cortex/events"
)

func newKVSize(a *commands) *cobra.Command {
	var memory string
	cmd := &cobra.Command{
		Use: "size MODEL.gguf", Short: "Say what a model's cache takes on this machine", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Say from a model's header how many bytes one token takes in the cache of keys and
values, and the largest context that fits beside the weights: for each type that
--cache-type-k and --cache-type-v can have. Memory is what is available now or
what the control groups leave, whichever is less, less a tenth.`,
		Example: "  cortex kvcache size model.gguf --memory 16G",
		RunE: func(_ *cobra.Command, args []string) error {
			m, weights, err := readModel(args[0])
			if err != nil {
				return err
			}
			available, err := slotcache.AvailableMemory(os.DirFS(a.Settings.Root))
			if memory != "" {
				available, err = slotcache.ParseSize(memory)
			}
			if err != nil {
				return err
			}
			room := slotcache.NewMemoryBudget(available, weights)
			sizes := m.Sizes(room)
			return a.PrintResult(map[string]any{"version": 1, "model": m, "room": room, "sizes": sizes}, func(w io.Writer) {
				output.CacheSizes(w, m, room, sizes)
			})
		},
	}
	cmd.Flags().StringVar(&memory, "memory", "", "as if so much memory were available: 16G")
	return cmd
}

// ReadModel reads a model's header and how large its files are together.
func readModel(path string) (m slotcache.ModelInfo, weights int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return m, 0, &events.Error{Op: "cli.readModel", Kind: events.ErrNotFound, Err: err}
	}
	defer f.Close()
	if m, err = slotcache.ReadModelInfo(f); err != nil {
		return m, 0, fmt.Errorf("%s: %w", path, err)
	}
	for _, part := range pieces(path, m.Splits) {
		info, err := os.Stat(part)
		if err != nil {
			return m, 0, &events.Error{Op: "cli.readModel", Kind: events.ErrNotFound, Err: err, Hint: "a split model needs all of its files beside each other"}
		}
		weights += info.Size()
	}
	return m, weights, nil
}

// pieces names the files of a split model: NAME-00001-of-00003.gguf and so on.
func pieces(path string, n int) []string {
	end := fmt.Sprintf("-of-%05d.gguf", n)
	stem, ok := strings.CutSuffix(path, end)
	if n < 2 || !ok || len(stem) < 6 {
		return []string{path}
	}
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%05d%s", stem[:len(stem)-6], i+1, end))
	}
	return out
}
