package configcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/cli/transactcmd"
	"cortex/cmd/output"
	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/producers/manifest"
)

func newConfigExport(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "export", Short: "Write the machine down as a manifest", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Write the machine down: the packages that were asked for with their versions, holds,
and apt's sources, keys and preferences. Keys that a package brings are left out, and
so is a list of sources with a password in it.

The text is TOML. A version of "*" stands for any; what need not be the same on
another machine can be deleted.`,
		Example: "  cortex config export >machine.toml", PersistentPreRunE: a.WithSettings,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.captured(cmd.Context())
			if err != nil {
				return err
			}
			text, err := m.EncodeTOML()
			if err != nil {
				return err
			}
			v := map[string]any{"version": 1, "manifest": m}
			return a.PrintResult(v, func(w io.Writer) { _, _ = w.Write(text) })
		},
	}
}

// captured is the machine as a manifest.
func (a *commands) captured(ctx context.Context) (manifest.Document, error) {
	machine := apt.New(apt.Config{Root: a.Settings.Root})
	inv, err := machine.Inventory(ctx)
	if err != nil {
		return manifest.Document{}, err
	}
	native, err := machine.NativeArch(ctx)
	if err != nil {
		return manifest.Document{}, err
	}
	m, notes, err := manifest.Capture(a.Settings.Root, inv, native)
	for _, n := range notes {
		a.Infof("note: %s", n)
	}
	return m, err
}

// readManifest reads a manifest from a file, or from stdin for "-".
func (a *commands) readManifest(path string) (manifest.Document, error) {
	in := a.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return manifest.Document{}, &events.Error{Op: "cli.readManifest", Kind: events.ErrNotFound, Subject: path, Err: errors.Unwrap(err), Hint: "'cortex config export' writes one"}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, manifest.MaxBytes+1))
	if err != nil {
		return manifest.Document{}, fmt.Errorf("read %s: %w", path, err)
	}
	return manifest.Parse(path, text)
}

func newConfigImport(a *commands) *cobra.Command {
	var how transactcmd.Approval
	var o transactcmd.Options
	var anyVersion, skipFiles, refresh bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Make the machine what a manifest says", Args: cmdutil.CheckArgs(cobra.ExactArgs(1)),
		Long: `Install what a manifest names and is missing here, in its version, mark it as asked
for, and put on hold what is on hold there, in one transaction that can be undone.
What the manifest does not name stays. FILE may be "-" for stdin.

Sources, keys and preferences that are missing or different are put in place first,
in a transaction of their own: what they offer is known only once they are there.`,
		Example: "  cortex config import machine.toml --dry-run\n  cortex config import machine.toml --any-version", PersistentPreRunE: a.WithSettings,
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := a.readManifest(args[0])
			if err != nil {
				return err
			}
			opts := o.Resolve(a.Context)
			opts.Refresh = refresh
			if !skipFiles {
				placed, err := a.importFiles(cmd.Context(), want, opts, how)
				if err != nil || placed && how.DryRun {
					return err
				}
				opts.Refresh = refresh || placed
			}
			wish := want.ImportRequest(anyVersion)
			return a.imports(cmd.Context(), wish, opts, how)
		},
	}
	how.Flags(cmd)
	o.Flags(cmd, events.VerbImport)
	cmd.Flags().BoolVar(&anyVersion, "any-version", false, "take the versions that are offered here")
	cmd.Flags().BoolVar(&skipFiles, "skip-files", false, "leave sources, keys and preferences as they are")
	cmd.Flags().BoolVar(&refresh, "refresh", false, "fetch package lists first")
	return cmd
}

func (a *commands) imports(ctx context.Context, wish events.Manifest, o events.Options, how transactcmd.Approval) error {
	in := events.Intent{Verb: events.VerbImport, Manifest: &wish, Options: o}
	if err := in.Validate(); err != nil {
		return err
	}
	return transactcmd.Run(ctx, a.Context, in, how)
}

// importFiles puts apt's files in place that are not here as the manifest has them,
// and reports whether there were any.
func (a *commands) importFiles(ctx context.Context, want manifest.Document, o events.Options, how transactcmd.Approval) (placed bool, err error) {
	have, err := a.captured(ctx)
	if err != nil {
		return false, err
	}
	var wish events.Manifest
	for _, d := range manifest.Compare(want, have) {
		if d.ItemKind != "file" || d.Reason == manifest.Extra {
			continue
		}
		if events.ValidateAptPath(d.Name) != nil {
			return false, &events.Error{
				Op: "cli.importFiles", Kind: events.ErrConflict, Subject: d.Name, Err: fmt.Errorf("this file of the manifest is %s here, and what is not under /etc could not be taken back", d.Reason),
				Hint: "put the file in place yourself, or pass --skip-files",
			}
		}
		wish.Files = append(wish.Files, want.ManifestFile(d.Name))
	}
	if len(wish.Files) == 0 {
		return false, nil
	}
	o.Refresh = false
	if err := a.imports(ctx, wish, o, how); err != nil {
		return true, err
	}
	if how.DryRun {
		a.Infof("the packages are planned once these files are in place")
	}
	return true, nil
}

// machineManifest is compared with when no other is named.
const machineManifest = "/etc/cortex/machine.toml"

func newConfigDiff(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "diff [FILE [FILE]]", Short: "How the machine differs from a manifest", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(2)),
		Long: `How the machine differs from a manifest, ` + machineManifest + ` when none is named,
or how the second of two manifests differs from the first. Exits 1 when anything does.`,
		Example: "  cortex config diff machine.toml", PersistentPreRunE: a.WithSettings,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{machineManifest}
			}
			want, err := a.readManifest(args[0])
			if err != nil {
				return err
			}
			var have manifest.Document
			if len(args) == 2 {
				have, err = a.readManifest(args[1])
			} else {
				have, err = a.captured(cmd.Context())
			}
			if err != nil {
				return err
			}
			differences := manifest.Compare(want, have)
			if differences == nil {
				differences = []manifest.Mismatch{}
			}
			v := map[string]any{"version": 1, "same": len(differences) == 0, "differences": differences}
			if err := a.PrintResult(v, func(w io.Writer) { output.ManifestMismatches(w, differences, apt.CompareVersions) }); err != nil || len(differences) == 0 {
				return err
			}
			return iostreams.ExitCode(1)
		},
	}
}

func newConfigValidate(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "validate [FILE]", Short: "Check the text of a manifest", Args: cmdutil.CheckArgs(cobra.MaximumNArgs(1)),
		Long:    "Check the text of a manifest, " + machineManifest + " when none is named. Exits 2 when something is wrong with it.",
		Example: "  cortex config validate machine.toml",
		RunE: func(_ *cobra.Command, args []string) error {
			args = append(args, machineManifest)
			m, err := a.readManifest(args[0])
			if err != nil {
				return err
			}
			v := map[string]any{"version": 1, "packages": len(m.Packages), "holds": len(m.Holds), "files": len(m.Files)}
			return a.PrintResult(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s, %s, %s\n", args[0], output.Count(len(m.Packages), "package"), output.Count(len(m.Holds), "hold"), output.Count(len(m.Files), "file"))
			})
		},
	}
}
