package auditcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

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
		Use: "audit", Short: "Verify the log, prove what is in it, export it, follow it", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Verify the log, prove what is in it, export it, follow it.

Every fact is a leaf of a Merkle tree; the daemon signs the tree's head whenever a
transaction ends. Carry a head and the public key to another machine now and then:
against them even root cannot change what was before.

  cortex audit head > /mnt/usb/head
  cortex audit verify --since-head /mnt/usb/head`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditVerify(a), newAuditProve(a), newAuditExport(a), newAuditFollow(a), newAuditHead(a), newAuditKey(a))
	return cmd
}

func newAuditVerify(a *commands) *cobra.Command {
	var o app.VerifyOptions
	cmd := &cobra.Command{
		Use: "verify", Short: "Read the whole log and find any change in it", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Read the whole log as it lies on disk, without the daemon, and compare it with its
checksums, its chain of hashes, every signed head, and with --since-head a head that
was carried elsewhere. Any change, deletion, reordering or truncation is told with
its position, and exits 1. Nothing is changed. Needs the right to read the log: root.

  cortex audit verify
  cortex audit verify --since-head /mnt/usb/head --key /mnt/usb/key.pub`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.auditVerify(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.SinceHead, "since-head", "", "a signed head that was carried elsewhere, or a copy of the file of heads")
	cmd.Flags().StringVar(&o.Key, "key", "", "the public key, when it was carried elsewhere too")
	return cmd
}

func (a *commands) auditVerify(ctx context.Context, o app.VerifyOptions) error {
	if !a.HasLog() {
		return a.NoHistory()
	}
	v, err := a.VerifyState(ctx, a.Settings.StateDir, a.AuditDir(), o)
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
	return &events.Error{Op: "cli.audit", Kind: events.ErrCorrupt, Subject: "log", Err: errors.New("it is not as it was written"), Hint: "keep a copy of the state directory; 'cortex backup list' shows what can be restored"}
}

func newAuditHead(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "head", Short: "Print the newest signed head, to be kept elsewhere", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: "Print the newest signed head: the log's name, how many events it covers, the tree's root, and the signature.\n\n  cortex audit head > /mnt/usb/head",
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
		Use: "key", Short: "Print the public key that heads are verified with", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: "Print the public key that heads are verified with.\n\n  cortex audit key > /mnt/usb/key.pub",
		RunE: func(*cobra.Command, []string) error {
			text, err := readKey(a.AuditDir())
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "key": text}, func(w io.Writer) { fmt.Fprintln(w, text) })
		},
	}
}

// readKey gives the public key as text, checked.
func readKey(p treehead.Dir) (string, error) {
	if _, err := treehead.ReadVerifier(p.PublicKeyPath()); err != nil {
		return "", err
	}
	b, err := os.ReadFile(p.PublicKeyPath())
	return strings.TrimSpace(string(b)), err
}

func newAuditProve(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "prove EVENT", Short: "Print a proof that an event is in the log", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Print, as JSON, an event and the proof that it is in the log under the newest signed
head. docs/examples/verify-proof checks it without cortex. EVENT is a position or an
id, as 'cortex events list' and 'cortex events show' tell them.

  cortex audit prove 17 > proof.json
  go run ./docs/examples/verify-proof -key key.pub proof.json`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.auditProve(cmd, args[0]) },
	}
}

func (a *commands) auditProve(cmd *cobra.Command, ref string) error {
	if !a.HasLog() {
		return a.NoHistory()
	}
	var p events.Position
	if n, err := strconv.ParseUint(ref, 10, 63); err == nil {
		p = events.Position(n)
	} else if err := events.ID(ref).Validate(); err != nil {
		return &events.Error{Op: "cli.audit", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", ref), Err: errors.New("is neither a position nor an id"), Hint: "see 'cortex events list'"}
	}
	if _, _, err := a.Connect(cmd.Context()); err != nil { // it signs what is not signed yet
		return err
	}
	h, path, p, err := a.ProofPath(cmd.Context(), p, events.ID(ref))
	if err != nil {
		return err
	}
	r, err := a.record(cmd, p)
	if err != nil {
		return err
	}
	key, err := readKey(a.AuditDir())
	if err != nil {
		return err
	}
	a.JSON = true // a proof is for programs
	return a.PrintResult(treehead.NewProof(r, h, path, key), nil)
}

// record reads one record of the log.
func (a *commands) record(cmd *cobra.Command, p events.Position) (events.Record, error) {
	var found events.Record
	err := a.EachEvent(cmd.Context(), app.EventFilter{After: uint64(p) - 1, Limit: 1}, false, func(r events.Record) error {
		found = r
		return nil
	})
	if err == nil && found.Position != p {
		err = &events.Error{Op: "cli", Kind: events.ErrNotFound, Subject: fmt.Sprintf("event %d", p), Hint: "see 'cortex events list'"}
	}
	return found, err
}
