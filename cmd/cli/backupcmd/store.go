package backupcmd

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/units"
	"cortex/events"
)

func newStore(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "store", Short: "Manage saved package files and configuration", Args: cmdutil.Args(0, 0),
		Long: `Manage the package files and the contents of configuration files that an undo needs. They
are in /var/lib/cortex/vault, each content once, readable by root only. Contents that are
not public are encrypted.

The daemon fetches package files of installed versions in advance, up to
CORTEX_STORE_BUDGET bytes (default 4 GiB; 0: none).`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newStoreStatus(a), newStoreVerify(a), newStoreGC(a), newStoreFetch(a))
	return cmd
}

func newStoreStatus(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how much is saved", Args: cmdutil.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			usage, err := a.StoreUsage()
			if err != nil {
				return err
			}
			return a.PrintResult(usage, func(w io.Writer) {
				fmt.Fprintf(w, "%s, %s\n", units.Count(usage.Debs.Number, "package file"), units.Bytes(usage.Debs.Bytes))
				fmt.Fprintf(w, "%s, %s\n", units.Count(usage.Contents.Number, "content"), units.Bytes(usage.Contents.Bytes))
				fmt.Fprintf(w, "%s, %s, encrypted\n", units.Count(usage.Secrets.Number, "secret content"), units.Bytes(usage.Secrets.Bytes))
			})
		},
	}
}

func newStoreVerify(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Compare every saved content with its digest", Args: cmdutil.Args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			checked, problems, err := a.VerifyStore()
			if err != nil {
				return err
			}
			err = a.PrintResult(map[string]any{"version": 1, "checked": checked, "problems": problems}, func(w io.Writer) {
				fmt.Fprintf(w, "%s checked, %s\n", units.Count(checked, "content"), units.Count(len(problems), "problem"))
				for _, p := range problems {
					fmt.Fprintln(w, "  "+p)
				}
			})
			if err == nil && len(problems) > 0 {
				err = &events.Error{
					Op: "cli", Kind: events.ErrCorrupt, Subject: a.Settings.BlobStoreDir(), Err: errors.New("saved contents are damaged"),
					Hint: "an undo that needs a damaged content is refused before anything changes; to restore the store: cortex backup restore FILE",
				}
			}
			return err
		},
	}
}

func newStoreGC(a *commands) *cobra.Command {
	var forget string
	var yes bool
	cmd := &cobra.Command{
		Use: "gc [--forget TIME --yes]", Short: "Remove saved contents that no undo needs", Args: cmdutil.Args(0, 0),
		Long: `Remove saved contents that no undo needs. With --forget, also remove contents that only
transactions before that time need. Those transactions cannot be undone exactly any more,
and the log records this.`,
		Example: "  cortex store gc\n  cortex store gc --forget 90d --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := a.CollectGarbage(cmd.Context(), forget, yes)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "collected": done}, func(w io.Writer) {
				fmt.Fprintf(w, "%s removed, %s\n", units.Count(done.ContentsRemoved, "content"), units.Bytes(done.BytesFreed))
				if n := len(done.NoLongerUndoable); n > 0 {
					fmt.Fprintf(w, "%s cannot be undone exactly any more\n", units.Count(n, "transaction"))
				}
			})
		},
	}
	cmd.Flags().StringVar(&forget, "forget", "", "also remove what only transactions that ended before this time need")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "confirm --forget")
	return cmd
}

func newStoreFetch(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "fetch", Short: "Fetch the package files of installed packages", Args: cmdutil.Args(0, 0),
		Long: `Fetch the package files of all installed packages that a source still offers. Sources
usually stop to offer a version when a newer one is released. The daemon does the same in
the background, slowly.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fetched, failed, err := a.FetchDebs(cmd.Context(), func(f app.FetchedDeb) {
				if f.Err != nil {
					a.Infof("%s %s: %v", f.Name, f.Version, f.Err)
					return
				}
				a.Infof("%s %s fetched, %d remaining", f.Name, f.Version, f.Remaining)
			})
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "fetched": fetched, "failed": failed}, func(w io.Writer) {
				fmt.Fprintf(w, "%s fetched, %d not available\n", units.Count(fetched, "package file"), failed)
			})
		},
	}
}
