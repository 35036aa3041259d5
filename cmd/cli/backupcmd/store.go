package backupcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/ids"
	"cortex/cmd/output"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/blobstore"
	"cortex/consumers/recorder"
	"cortex/consumers/retention"
	"cortex/events"
)

func newStore(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "store", Short: "What is kept so that it can be undone", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Package files and contents of configuration files are kept, each once, under
/var/lib/cortex/vault, readable by root only; what not everybody may read is
encrypted. CORTEX_STORE_BUDGET (bytes, default 4 GiB, 0 for none) bounds how many
package files of installed versions are fetched beforehand.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newStoreStatus(a), newStoreVerify(a), newStoreGC(a), newStoreFetch(a))
	return cmd
}

func newStoreStatus(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "How much is kept", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v, err := blobstore.OpenExisting(a.Settings.BlobStoreDir())
			if err != nil {
				return err
			}
			items, err := v.List()
			if err != nil {
				return err
			}
			view := storeView{Version: 1, Budget: a.Settings.StoreBudget}
			for _, i := range items {
				view.add(i)
			}
			return a.PrintResult(view, func(w io.Writer) {
				fmt.Fprintf(w, "%s, %s\n", output.Count(view.Debs.Number, "package file"), output.Bytes(view.Debs.Bytes))
				fmt.Fprintf(w, "%s, %s\n", output.Count(view.Contents.Number, "content"), output.Bytes(view.Contents.Bytes))
				fmt.Fprintf(w, "%s, %s, encrypted\n", output.Count(view.Secrets.Number, "secret content"), output.Bytes(view.Secrets.Bytes))
			})
		},
	}
}

// storeView is the store as JSON.
type storeView struct {
	Version  int   `json:"version"`
	Debs     tally `json:"package_files"`
	Contents tally `json:"contents"`
	Secrets  tally `json:"secrets"`
	Budget   int64 `json:"budget_b"`
}

type tally struct {
	Number int   `json:"number"`
	Bytes  int64 `json:"bytes"`
}

func (v *storeView) add(i blobstore.Blob) {
	t := &v.Contents
	switch {
	case i.Secret:
		t = &v.Secrets
	case len(i.Debs) > 0:
		t = &v.Debs
	}
	t.Number++
	t.Bytes += i.Size
}

func newStoreVerify(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Read everything that is kept and compare it with its name", Args: cmdutil.CheckArgs(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v, err := blobstore.OpenExisting(a.Settings.BlobStoreDir())
			if err != nil {
				return err
			}
			checked, problems, err := v.Verify()
			if err != nil {
				return err
			}
			err = a.PrintResult(map[string]any{"version": 1, "checked": checked, "problems": problems}, func(w io.Writer) {
				fmt.Fprintf(w, "%s checked, %s\n", output.Count(checked, "content"), output.Count(len(problems), "problem"))
				for _, p := range problems {
					fmt.Fprintln(w, "  "+p)
				}
			})
			if err == nil && len(problems) > 0 {
				err = &events.Error{Op: "cli.store", Kind: events.ErrCorrupt, Subject: a.Settings.BlobStoreDir(), Err: errors.New("something that is kept is damaged"), Hint: "what needs it cannot be undone exactly; an undo that needs it is refused before anything runs"}
			}
			return err
		},
	}
}

func newStoreGC(a *commands) *cobra.Command {
	var forget string
	var yes bool
	cmd := &cobra.Command{
		Use: "gc [--forget TIME --yes]", Short: "Drop what no undo needs any more", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Drop what no undo needs any more. With --forget, also what only transactions that
ended before that time need: these cannot be undone exactly afterwards, which is
recorded.

  cortex store gc
  cortex store gc --forget 90d --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := app.ParseTime(forget)
			if err != nil {
				return err
			}
			if !at.IsZero() && !yes {
				return &events.Error{Op: "cli.store", Kind: events.ErrConfirmation, Err: fmt.Errorf("transactions before %s could not be undone exactly any more", at.Local().Format("2006-01-02 15:04")), Hint: "pass --yes when that is meant"}
			}
			c, _, err := a.Connect(cmd.Context())
			if err != nil {
				return err
			}
			done, err := c.CollectGarbage(cmd.Context(), at)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "collected": done}, func(w io.Writer) {
				fmt.Fprintf(w, "%s dropped, %s\n", output.Count(done.ContentsRemoved, "content"), output.Bytes(done.BytesFreed))
				if n := len(done.NoLongerUndoable); n > 0 {
					fmt.Fprintf(w, "%s cannot be undone exactly any more\n", output.Count(n, "transaction"))
				}
			})
		},
	}
	cmd.Flags().StringVar(&forget, "forget", "", "forget how to undo what ended before this time")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do it")
	return cmd
}

func newStoreFetch(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "fetch", Short: "Fetch the package files of everything that is installed", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Fetch the package files of everything that is installed, as far as some source still
offers them: once a newer version is out, the old one usually cannot be had. The
daemon does the same slowly by itself.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.storeFetch(cmd.Context()) },
	}
}

func (a *commands) storeFetch(ctx context.Context) error {
	if a.UID != 0 {
		return &events.Error{Op: "cli.store", Kind: events.ErrConfirmation, Err: errors.New("the store is root's"), Hint: "run: sudo cortex store fetch"}
	}
	v, err := blobstore.Open(a.Settings.BlobStoreDir())
	if err != nil {
		return err
	}
	c := retention.New(&recorder.Recorder{Now: time.Now, NewID: ids.New}, v, apt.New(apt.Config{Root: a.Settings.Root, WorkDir: a.Settings.WorkDir()}))
	got, failed := 0, 0
	err = c.PrefetchDebs(ctx, max(a.Settings.StoreBudget, 1), nil, func(f retention.FetchAttempt) {
		if f.Err != nil {
			failed++
			a.Infof("%s %s: %v", f.Name, f.Version, f.Err)
			return
		}
		got++
		a.Infof("%s %s, %d to go", f.Name, f.Version, f.Remaining)
	})
	if err != nil {
		return err
	}
	return a.PrintResult(map[string]any{"version": 1, "fetched": got, "failed": failed}, func(w io.Writer) {
		fmt.Fprintf(w, "%s fetched, %d not to be had\n", output.Count(got, "package file"), failed)
	})
}
