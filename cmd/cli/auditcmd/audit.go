package auditcmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/output"
	"cortex/consumers/treehead"
	"cortex/events"
)

func newAudit(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Verify, prove and export the log", Args: cmdutil.Args(0, 0),
		Long: `Verify the log, prove that an event is in it, export it, and copy it as it grows.

Every event is a leaf of a Merkle tree. The daemon signs the head of the tree when a
transaction ends. Copy a head and the public key to another machine from time to time:
with them you can detect later changes of older events, even changes made by root.`,
		Example: "  cortex audit head >/mnt/usb/head\n  cortex audit verify --since-head /mnt/usb/head",
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditVerify(a), newAuditProve(a), newAuditExport(a), newAuditFollow(a), newAuditHead(a), newAuditKey(a))
	return cmd
}

func newAuditVerify(a *commands) *cobra.Command {
	var o app.VerifyOptions
	cmd := &cobra.Command{
		Use: "verify", Short: "Check the whole log for changes", Args: cmdutil.Args(0, 0),
		Long: `Read the whole log from the disk, without the daemon, and compare it with its checksums,
its hash chain and every signed head. --since-head also compares it with a head that you
stored elsewhere. Each change, deletion, reordering or truncation is reported with its
position, and the exit code is 1. The command changes nothing. It needs root.`,
		Example: "  cortex audit verify\n  cortex audit verify --since-head /mnt/usb/head --key /mnt/usb/key.pub",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.verify(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.SinceHead, "since-head", "", "compare with the signed head in this file")
	cmd.Flags().StringVar(&o.Key, "key", "", "read the public key from this file (default: this machine's key)")
	return cmd
}

func (a *commands) verify(ctx context.Context, o app.VerifyOptions) error {
	v, err := a.VerifyLog(ctx, o)
	if err != nil {
		return err
	}
	view := struct {
		Version int  `json:"version"`
		OK      bool `json:"ok"`
		treehead.VerifyResult
	}{1, v.OK(), v}
	if err := a.PrintResult(view, func(w io.Writer) { output.AuditVerification(w, v) }); err != nil || v.OK() {
		return err
	}
	if a.JSON {
		return iostreams.ExitCode(events.ErrCorrupt.ExitCode())
	}
	return &events.Error{
		Op: "cli", Kind: events.ErrCorrupt, Subject: "log", Err: errors.New("the log was changed or is damaged"),
		Hint: "keep a copy of the state directory; to list backups: cortex backup list",
	}
}

func newAuditHead(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "head", Short: "Print the newest signed head", Args: cmdutil.Args(0, 0),
		Long:    "Print the newest signed head: the name of the log, the number of events that it covers,\nthe root of the tree, and the signature.",
		Example: "  cortex audit head >/mnt/usb/head",
		RunE: func(*cobra.Command, []string) error {
			h, err := a.NewestHead()
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "size": h.Size, "root": h.Root.String(), "note": h.Note}, func(w io.Writer) { fmt.Fprint(w, h.Note) })
		},
	}
}

func newAuditKey(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "key", Short: "Print the public key that verifies heads", Args: cmdutil.Args(0, 0),
		Example: "  cortex audit key >/mnt/usb/key.pub",
		RunE: func(*cobra.Command, []string) error {
			key, err := a.AuditKey()
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "key": key}, func(w io.Writer) { fmt.Fprintln(w, key) })
		},
	}
}

func newAuditProve(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "prove EVENT", Short: "Print a proof that an event is in the log", Args: cmdutil.Args(1, 1),
		Long: `Print an event as JSON, with the proof that it is in the log under the newest signed head.
docs/examples/verify-proof checks the proof without cortex. EVENT is a position from
'cortex events list', or an event id from 'cortex events show'.`,
		Example: "  cortex audit prove 17 >proof.json\n  go run ./docs/examples/verify-proof -key key.pub proof.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			proof, err := a.ProveEvent(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			a.JSON = true // programs read proofs
			return a.PrintResult(proof, nil)
		},
	}
}
