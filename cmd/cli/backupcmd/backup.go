package backupcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/embedded/backup"
	"cortex/events"
)

// backupSuffix is what the names of backups end in.
const backupSuffix = ".cortex-backup.tar"

func newBackup(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup", Short: "Copy the history, and what undoing needs, into one file and back", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Copy the history, and what undoing needs, into one file: the log, kept package files
and contents, signed heads and keys. Read models are not in it: they are made again.
The file holds keys and contents that not everybody may read; it is for its owner alone,
and belongs on another disk.

  cortex backup create --to /mnt/usb
  cortex backup verify FILE
  cortex backup restore FILE --into /var/lib/cortex`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBackupCreate(a), newBackupList(a), newBackupVerify(a), newBackupRestore(a))
	return cmd
}

// backupView is a backup, for people and as JSON.
type backupView struct {
	Version int             `json:"version"`
	File    string          `json:"file"`
	Bytes   int64           `json:"size_b"`
	Host    events.HostID   `json:"host"`
	Machine string          `json:"machine,omitempty"`
	Created time.Time       `json:"created"`
	Head    events.Position `json:"head"`
	Files   int             `json:"files"`
	Problem string          `json:"problem,omitempty"`
}

func viewOf(file string, i backup.Info) backupView {
	v := backupView{Version: 1, File: file, Host: i.Host, Machine: i.Machine, Created: i.Created, Head: i.Head, Files: len(i.Files)}
	if info, err := os.Stat(file); err == nil {
		v.Bytes = info.Size()
	}
	return v
}

func (a *commands) tellBackup(v backupView, what string) error {
	return a.PrintResult(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s\n", v.File, what)
		fmt.Fprintf(w, "  %s of %s, %s in %s, made %s\n", output.Count(int(v.Head), "event"), v.Machine, output.Bytes(v.Bytes), output.Count(v.Files, "file"), v.Created.Local().Format(time.DateTime))
	})
}

func newBackupCreate(a *commands) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "create", Short: "Make a backup", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Make a backup, into the state directory's own backups or, with --to, into a directory
or a file that is not there yet. Kept package files are copied while the daemon runs; for
the log it waits until no transaction runs, and keeps the daemon away meanwhile.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.Engine.LockState == nil {
				return a.BecomeEngine()
			}
			return a.createBackup(cmd.Context(), to)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "a directory, or a new file")
	return cmd
}

func (a *commands) createBackup(ctx context.Context, to string) error {
	if !a.HasLog() {
		return a.NoHistory()
	}
	now := time.Now().UTC()
	machine, _ := os.Hostname()
	if to == "" {
		to = a.Settings.BackupsDir()
		if err := os.MkdirAll(to, 0o700); err != nil {
			return a.RequireStateOwner(to, err)
		}
	}
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		to = filepath.Join(to, fmt.Sprintf("%s-%s%s", machine, now.Format("20060102T150405.000Z"), backupSuffix))
	}
	release := func() {}
	still := func(i *backup.Info) (err error) {
		if release, err = a.LockStateWhenIdle(ctx); err != nil {
			return err
		}
		files, err := a.Engine.OpenLog(a.Settings, a.Settings.StateDir)
		if err != nil {
			return err
		}
		i.Host, i.Head, i.Machine, i.Build, i.Created = files.Host(), files.ManifestPosition(), machine, a.Build, now
		return nil
	}
	var info backup.Info
	err := a.WriteOutput(to, func(w io.Writer) (err error) {
		info, err = backup.Write(ctx, w, a.Settings.StateDir, still)
		return err
	})
	release()
	if err != nil {
		return a.RequireStateOwner(to, err)
	}
	return a.tellBackup(viewOf(to, info), "a backup")
}

func newBackupList(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "list [DIR]", Short: "List backups, and whether each is whole", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := a.Settings.BackupsDir()
			if len(args) == 1 {
				dir = args[0]
			}
			files, err := filepath.Glob(filepath.Join(dir, "*"+backupSuffix))
			if err != nil {
				return err
			}
			items := []backupView{}
			for _, file := range files {
				info, err := readBackup(cmd.Context(), file)
				v := viewOf(file, info)
				if err != nil {
					v.Problem = err.Error()
				}
				items = append(items, v)
			}
			slices.SortFunc(items, func(x, y backupView) int { return x.Created.Compare(y.Created) })
			return a.PrintResult(map[string]any{"version": 1, "backups": items}, func(w io.Writer) { listBackups(w, dir, items) })
		},
	}
}

func listBackups(w io.Writer, dir string, items []backupView) {
	if len(items) == 0 {
		fmt.Fprintf(w, "No backups in %s\n", dir)
	}
	for _, x := range items {
		if x.Problem != "" {
			fmt.Fprintf(w, "%s: %s\n", x.File, x.Problem)
			continue
		}
		fmt.Fprintf(w, "%s: %s of %s, %s\n", x.File, output.Count(int(x.Head), "event"), x.Machine, output.Bytes(x.Bytes))
	}
}

func readBackup(ctx context.Context, file string) (backup.Info, error) {
	f, err := os.Open(file)
	if err != nil {
		return backup.Info{}, err
	}
	defer f.Close()
	return backup.Read(ctx, f)
}

func newBackupVerify(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Restore a backup to the side, verify its log, and throw that away", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: "Look whether a backup is whole, and whether the log in it is the one that was signed: it is restored into a directory beside the file, verified like 'cortex audit verify', and thrown away.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.Engine.OpenLog == nil {
				return a.BecomeEngine()
			}
			dir, err := os.MkdirTemp(filepath.Dir(args[0]), ".cortex-verify-")
			if err != nil {
				return a.RequireStateOwner(args[0], err)
			}
			info, err := a.ExtractBackup(cmd.Context(), args[0], filepath.Join(dir, "state"))
			if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
				return a.RequireStateOwner(args[0], err)
			}
			return a.tellBackup(viewOf(args[0], info), "whole, and its log is as it was written")
		},
	}
}

func newBackupRestore(a *commands) *cobra.Command {
	var into string
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Make a state directory of a backup", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Make a state directory of a backup, where none is yet: nothing is overwritten. The log is
verified before the directory gets its name, and the read models are made again at the
next start. Packages are not touched: where the machine differs from the history, that
is found as drift.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.Engine.OpenLog == nil {
				return a.BecomeEngine()
			}
			if into == "" {
				into = a.Settings.StateDir
			}
			if list, err := os.ReadDir(into); err == nil && len(list) == 0 {
				if err := os.Remove(into); err != nil {
					return a.RequireStateOwner(into, err)
				}
			}
			info, err := a.ExtractBackup(cmd.Context(), args[0], into)
			if err != nil {
				return a.RequireStateOwner(args[0], err)
			}
			return a.tellBackup(viewOf(args[0], info), "restored into "+into)
		},
	}
	cmd.Flags().StringVar(&into, "into", "", "this directory instead of the state directory")
	return cmd
}
