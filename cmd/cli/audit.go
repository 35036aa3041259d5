package cli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"cortex/cmd/output"
	"cortex/consumers/treehead"
	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/projections/audit"
)

func newAudit(a *App) *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Verify the log, prove what is in it, export it, follow it", Args: CheckArgs(cobra.NoArgs),
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

func (a *App) auditDir() treehead.Dir { return treehead.Dir(a.Settings.AuditDir()) }

// verifyOptions say what is verified against.
type verifyOptions struct {
	since string // a file with a head
	key   string // a file with a public key; "" for the one beside the heads
}

func newAuditVerify(a *App) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use: "verify", Short: "Read the whole log and find any change in it", Args: CheckArgs(cobra.NoArgs),
		Long: `Read the whole log as it lies on disk, without the daemon, and compare it with its
checksums, its chain of hashes, every signed head, and with --since-head a head that
was carried elsewhere. Any change, deletion, reordering or truncation is told with
its position, and exits 1. Nothing is changed. Needs the right to read the log: root.

  cortex audit verify
  cortex audit verify --since-head /mnt/usb/head --key /mnt/usb/key.pub`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.auditVerify(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.since, "since-head", "", "a signed head that was carried elsewhere, or a copy of the file of heads")
	cmd.Flags().StringVar(&o.key, "key", "", "the public key, when it was carried elsewhere too")
	return cmd
}

func (a *App) auditVerify(ctx context.Context, o verifyOptions) error {
	if !a.HasLog() {
		return a.NoHistory()
	}
	v, err := a.verifyState(ctx, a.Settings.StateDir, a.auditDir(), o)
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
		return ExitCode(events.ErrCorrupt.ExitCode())
	}
	return &events.Error{Op: "cli.audit", Kind: events.ErrCorrupt, Subject: "log", Err: errors.New("it is not as it was written"), Hint: "keep a copy of the state directory; 'cortex backup list' shows what can be restored"}
}

// verifyState verifies the store in a state directory. What cannot be read as
// evidence is a fault too; an error means that verifying was not possible.
func (a *App) verifyState(ctx context.Context, state string, p treehead.Dir, o verifyOptions) (treehead.VerifyResult, error) {
	if a.Engine.OpenLog == nil {
		return treehead.VerifyResult{}, a.BecomeEngine()
	}
	if o.key == "" {
		o.key = p.PublicKeyPath()
	}
	key, err := treehead.ReadVerifier(o.key)
	if err != nil {
		return treehead.VerifyResult{}, err
	}
	known, closeKnown := knownLeaves(ctx, state)
	defer closeKnown()
	e := treehead.VerifyInput{Verifier: key, KnownLeaf: known}
	var faults []treehead.Fault
	if e.Heads, err = treehead.ReadHeads(p.HeadsPath(), key); err != nil {
		if !errors.Is(err, events.ErrCorrupt) {
			return treehead.VerifyResult{}, err
		}
		faults = append(faults, treehead.Fault{Message: err.Error()})
	}
	if o.since != "" {
		h, err := treehead.ReadHeadFile(o.since, key)
		switch {
		case err == nil:
			e.TrustedHead = &h
		case errors.Is(err, events.ErrCorrupt):
			faults = append(faults, treehead.Fault{Message: o.since + ": " + err.Error()})
		default:
			return treehead.VerifyResult{}, err
		}
	}
	files, err := a.Engine.OpenLog(a.Settings, state)
	switch {
	case err == nil:
		e.Log = files.Records()
		if want := treehead.Origin(files.Host()); key.Name() != want {
			faults = append(faults, treehead.Fault{Message: fmt.Sprintf("the key is of %s, the log of %s", key.Name(), want)})
		}
	case errors.Is(err, events.ErrCorrupt):
		e.Log = noRecords(err)
	default:
		return treehead.VerifyResult{}, err
	}
	v := treehead.Verify(e)
	v.Faults = append(faults, v.Faults...)
	return v, nil
}

// noRecords is a log that cannot be read at all.
func noRecords(err error) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) { yield(events.Record{}, err) }
}

func newAuditHead(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "head", Short: "Print the newest signed head, to be kept elsewhere", Args: CheckArgs(cobra.NoArgs),
		Long: "Print the newest signed head: the log's name, how many events it covers, the tree's root, and the signature.\n\n  cortex audit head > /mnt/usb/head",
		RunE: func(*cobra.Command, []string) error {
			h, err := a.newestHead()
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "size": h.Size, "root": h.Root.String(), "note": h.Note}, func(w io.Writer) { fmt.Fprint(w, h.Note) })
		},
	}
}

func newAuditKey(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "key", Short: "Print the public key that heads are verified with", Args: CheckArgs(cobra.NoArgs),
		Long: "Print the public key that heads are verified with.\n\n  cortex audit key > /mnt/usb/key.pub",
		RunE: func(*cobra.Command, []string) error {
			text, err := readKey(a.auditDir())
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "key": text}, func(w io.Writer) { fmt.Fprintln(w, text) })
		},
	}
}

func (a *App) newestHead() (treehead.Head, error) {
	v, err := treehead.ReadVerifier(a.auditDir().PublicKeyPath())
	if err != nil {
		return treehead.Head{}, err
	}
	all, err := treehead.ReadHeads(a.auditDir().HeadsPath(), v)
	if err == nil && len(all) == 0 {
		err = &events.Error{Op: "cli.audit", Kind: events.ErrNotFound, Subject: a.auditDir().HeadsPath(), Err: errors.New("no head was signed yet"), Hint: "'cortex daemon start' signs one"}
	}
	if err != nil {
		return treehead.Head{}, err
	}
	return all[len(all)-1], nil
}

// readKey gives the public key as text, checked.
func readKey(p treehead.Dir) (string, error) {
	if _, err := treehead.ReadVerifier(p.PublicKeyPath()); err != nil {
		return "", err
	}
	b, err := os.ReadFile(p.PublicKeyPath())
	return strings.TrimSpace(string(b)), err
}

// knownLeaves gives what the read model of the tree knows, which helps to say
// which event was changed.
func knownLeaves(ctx context.Context, state string) (leaf func(events.Position) (events.Hash, bool), done func()) {
	db, err := sqlite.OpenReader(ctx, filepath.Join(state, "read", audit.Name+".db"), 1)
	if err != nil {
		return nil, func() {}
	}
	r := audit.NewReader(db)
	leaf = func(p events.Position) (events.Hash, bool) {
		h, err := r.Leaf(ctx, p)
		return h, err == nil
	}
	return leaf, func() { _ = db.Close() } // it only read
}

func newAuditProve(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "prove EVENT", Short: "Print a proof that an event is in the log", Args: CheckArgs(cobra.ExactArgs(1)),
		Long: `Print, as JSON, an event and the proof that it is in the log under the newest signed
head. docs/examples/verify-proof checks it without cortex. EVENT is a position or an
id, as 'cortex events list' and 'cortex events show' tell them.

  cortex audit prove 17 > proof.json
  go run ./docs/examples/verify-proof -key key.pub proof.json`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.auditProve(cmd, args[0]) },
	}
}

func (a *App) auditProve(cmd *cobra.Command, ref string) error {
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
	h, path, p, err := a.proofPath(cmd.Context(), p, events.ID(ref))
	if err != nil {
		return err
	}
	r, err := a.record(cmd, p)
	if err != nil {
		return err
	}
	key, err := readKey(a.auditDir())
	if err != nil {
		return err
	}
	a.JSON = true // a proof is for programs
	return a.PrintResult(treehead.NewProof(r, h, path, key), nil)
}

// proofPath gives the newest head and the way to it from the event at p, or, when
// p is 0, from the event with that id.
func (a *App) proofPath(ctx context.Context, p events.Position, id events.ID) (h treehead.Head, path []events.Hash, at events.Position, err error) {
	err = a.ReadModel(ctx, audit.Name, func(db *sql.DB) error {
		r := audit.NewReader(db)
		if p == 0 {
			if p, err = r.Find(ctx, id); err != nil {
				return err
			}
		}
		size, err := r.Size(ctx)
		if err != nil {
			return err
		}
		if p > size {
			return &events.Error{Op: "cli.audit", Kind: events.ErrNotFound, Subject: fmt.Sprintf("event %d", p), Hint: "see 'cortex events list'"}
		}
		if h, err = a.coveringHead(ctx, p); err != nil {
			return err
		}
		root, err := r.Root(ctx, h.Size)
		if err != nil {
			return err
		}
		if root != h.Root {
			return &events.Error{Op: "cli.audit", Kind: events.ErrCorrupt, Subject: "signed head", Err: errors.New("the tree over the log is not the one that was signed"), Hint: "run 'cortex audit verify'"}
		}
		path, err = r.Prove(ctx, p, h.Size)
		return err
	})
	return h, path, p, err
}

// A daemon that was just started signs within moments.
const (
	headPatience = 3 * time.Second
	headPause    = 30 * time.Millisecond
)

// coveringHead gives the newest head once it covers p.
func (a *App) coveringHead(ctx context.Context, p events.Position) (treehead.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, headPatience)
	defer cancel()
	for {
		h, err := a.newestHead()
		if err == nil && h.Size >= p {
			return h, nil
		}
		select {
		case <-time.After(headPause):
			continue
		case <-ctx.Done():
		}
		if err != nil {
			return h, err
		}
		return h, &events.Error{Op: "cli.audit", Kind: events.ErrNotFound, Subject: fmt.Sprintf("event %d", p), Err: fmt.Errorf("the newest signed head covers %d events", h.Size), Hint: "one is signed when a transaction ends, and when the daemon stops"}
	}
}

// record reads one record of the log.
func (a *App) record(cmd *cobra.Command, p events.Position) (events.Record, error) {
	var found events.Record
	err := a.each(cmd, selection{after: uint64(p) - 1, limit: 1}, false, func(r events.Record) error {
		found = r
		return nil
	})
	if err == nil && found.Position != p {
		err = &events.Error{Op: "cli", Kind: events.ErrNotFound, Subject: fmt.Sprintf("event %d", p), Hint: "see 'cortex events list'"}
	}
	return found, err
}
