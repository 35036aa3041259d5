package backupcmd

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/units"
)

func newBackup(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup", Short: "Back up and restore the history", Args: cmdutil.Args(0, 0),
		Long: `Back up the history into one file, and restore it: the log, saved package files and
configuration, signed heads and keys. Read models are not in the file, because the daemon
rebuilds them.

The file contains keys and contents that are not public. Only its owner can read it. Store
it on another disk.`,
		Example: "  cortex backup create --to /mnt/usb\n  cortex backup verify FILE\n  cortex backup restore FILE --into /var/lib/cortex",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBackupCreate(a), newBackupList(a), newBackupVerify(a), newBackupRestore(a))
	return cmd
}

// printBackup prints a backup and what was done with it.
func (a *commands) printBackup(b app.Backup, done string) error {
	return a.PrintResult(b, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s\n", b.File, done)
		fmt.Fprintf(w, "  %s of %s, %s in %s, created %s\n", units.Count(int(b.Head), "event"), b.Machine, units.Bytes(b.Bytes), units.Count(b.Files, "file"), b.Created.Local().Format(time.DateTime))
	})
}

func newBackupCreate(a *commands) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "create", Short: "Create a backup", Args: cmdutil.Args(0, 0),
		Long: `Create a backup in the state directory, or with --to in another directory or in a new file.
The command copies saved package files while the daemon runs. To copy the log, it waits
until no transaction runs, and prevents the daemon from starting meanwhile.`,
		Example: "  cortex backup create --to /mnt/usb",
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.CreateBackup(cmd.Context(), to)
			if err != nil {
				return err
			}
			return a.printBackup(b, "backup created")
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "write into this directory or new file (default: the state directory's backups)")
	return cmd
}

func newBackupList(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "list [DIR]", Short: "List backups and check that each is complete", Args: cmdutil.Args(0, 1),
		Example: "  cortex backup list\n  cortex backup list /mnt/usb",
		RunE: func(cmd *cobra.Command, args []string) error {
			list, dir, err := a.Backups(cmd.Context(), append(args, "")[0])
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "backups": list}, func(w io.Writer) { printBackups(w, dir, list) })
		},
	}
}

func printBackups(w io.Writer, dir string, list []app.Backup) {
	if len(list) == 0 {
		fmt.Fprintf(w, "No backups in %s\n", dir)
	}
	for _, b := range list {
		if b.Problem != "" {
			fmt.Fprintf(w, "%s: %s\n", b.File, b.Problem)
			continue
		}
		fmt.Fprintf(w, "%s: %s of %s, %s\n", b.File, units.Count(int(b.Head), "event"), b.Machine, units.Bytes(b.Bytes))
	}
}

func newBackupVerify(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "verify FILE", Short: "Check that a backup is complete and unchanged", Args: cmdutil.Args(1, 1),
		Long: `Check that a backup is complete and that its log matches the signed heads. The command
restores the backup into a temporary directory beside the file, verifies the log like
'cortex audit verify', and removes the directory.`,
		Example: "  cortex backup verify /mnt/usb/web-20261123T120000.000Z.cortex-backup.tar",
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := a.VerifyBackup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.printBackup(b, "complete, and its log is unchanged")
		},
	}
}

func newBackupRestore(a *commands) *cobra.Command {
	var into string
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Restore a backup into a state directory", Args: cmdutil.Args(1, 1),
		Long: `Restore a backup into a directory that is empty or does not exist; nothing is overwritten.
The command verifies the log before the directory gets its name. The daemon rebuilds the
read models at the next start.

Packages do not change. Where the machine differs from the history, the daemon records
drift.`,
		Example: "  cortex backup restore /mnt/usb/web-20261123T120000.000Z.cortex-backup.tar --into /tmp/then",
		RunE: func(cmd *cobra.Command, args []string) error {
			b, dir, err := a.RestoreBackup(cmd.Context(), args[0], into)
			if err != nil {
				return err
			}
			return a.printBackup(b, "restored into "+dir)
		},
	}
	cmd.Flags().StringVar(&into, "into", "", "restore into this directory (default: the state directory)")
	return cmd
}
