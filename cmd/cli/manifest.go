package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"cortex/cmd/render"
	"cortex/consumers/apt"
	"cortex/events"
	"cortex/producers/manifest"
)

func newConfigExport(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "export", Short: "Write the machine down as a manifest", Args: some(cobra.NoArgs),
		Long: `Write the machine down: the packages that were asked for with their versions, holds,
and apt's sources, keys and preferences. Keys that a package brings are left out, and
so is a list of sources with a password in it.

The text is TOML. A version of "*" stands for any; what need not be the same on
another machine can be deleted.`,
		Example: "  cortex config export >machine.toml", PersistentPreRunE: a.prepare,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.captured(cmd.Context())
			if err != nil {
				return err
			}
			text, err := m.Text()
			if err != nil {
				return err
			}
			v := map[string]any{"version": 1, "manifest": m}
			return a.answer(v, func(w io.Writer) { _, _ = w.Write(text) })
		},
	}
}

// captured is the machine as a manifest.
func (a *App) captured(ctx context.Context) (manifest.Manifest, error) {
	machine := apt.New(apt.Config{Root: a.settings.Root})
	inv, err := machine.Inventory(ctx)
	if err != nil {
		return manifest.Manifest{}, err
	}
	native, err := machine.Native(ctx)
	if err != nil {
		return manifest.Manifest{}, err
	}
	m, notes, err := manifest.Capture(a.settings.Root, inv, native)
	for _, n := range notes {
		a.say("note: %s", n)
	}
	return m, err
}

// readManifest reads a manifest from a file, or from stdin for "-".
func (a *App) readManifest(path string) (manifest.Manifest, error) {
	in := a.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return manifest.Manifest{}, &events.Error{Op: "cli.readManifest", Kind: events.ErrNotFound, Subject: path, Err: errors.Unwrap(err), Hint: "'cortex config export' writes one"}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, manifest.MaxBytes+1))
	if err != nil {
		return manifest.Manifest{}, fmt.Errorf("read %s: %w", path, err)
	}
	return manifest.Parse(path, text)
}

func newConfigImport(a *App) *cobra.Command {
	var how consent
	var o options
	var anyVersion, skipFiles bool
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Make the machine what a manifest says", Args: some(cobra.ExactArgs(1)),
		Long: `Install what a manifest names and is missing here, in its version, mark it as asked
for, and put on hold what is on hold there, in one transaction that can be undone.
What the manifest does not name stays. FILE may be "-" for stdin.

The machine must have the manifest's sources and keys; what is missing of them is
named and nothing is done, unless --skip-files says to go on without.`,
		Example: "  cortex config import machine.toml --dry-run\n  cortex config import machine.toml --any-version", PersistentPreRunE: a.prepare,
		RunE: func(cmd *cobra.Command, args []string) error {
			want, err := a.readManifest(args[0])
			if err != nil {
				return err
			}
			if !skipFiles {
				if err := a.sameFiles(cmd.Context(), want); err != nil {
					return err
				}
			}
			wish := want.Wish(anyVersion)
			in := events.Intent{Verb: events.VerbImport, Manifest: &wish, Options: o.of(a)}
			if err := in.Validate(); err != nil {
				return err
			}
			return a.transact(cmd.Context(), in, how)
		},
	}
	consentFlags(cmd, &how)
	o.flags(cmd, events.VerbImport)
	cmd.Flags().BoolVar(&anyVersion, "any-version", false, "take the versions that are offered here")
	cmd.Flags().BoolVar(&skipFiles, "skip-files", false, "go on although sources, keys or preferences differ")
	return cmd
}

// sameFiles refuses when apt's files are not those of the manifest.
func (a *App) sameFiles(ctx context.Context, want manifest.Manifest) error {
	have, err := a.captured(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range manifest.Compare(want, have) {
		if d.Kind != "file" || d.What == manifest.Extra {
			continue
		}
		errs = append(errs, &events.Error{
			Op: "cli.sameFiles", Kind: events.ErrConflict, Subject: d.Name, Err: fmt.Errorf("this file of the manifest is %s here", d.What),
			Hint: "put the file in place and run 'apt-get update', or pass --skip-files",
		})
	}
	return errors.Join(errs...)
}

// machineManifest is compared with when no other is named.
const machineManifest = "/etc/cortex/machine.toml"

func newConfigDiff(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "diff [FILE [FILE]]", Short: "How the machine differs from a manifest", Args: some(cobra.MaximumNArgs(2)),
		Long: `How the machine differs from a manifest, ` + machineManifest + ` when none is named,
or how the second of two manifests differs from the first. Exits 1 when anything does.`,
		Example: "  cortex config diff machine.toml", PersistentPreRunE: a.prepare,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{machineManifest}
			}
			want, err := a.readManifest(args[0])
			if err != nil {
				return err
			}
			var have manifest.Manifest
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
				differences = []manifest.Difference{}
			}
			v := map[string]any{"version": 1, "same": len(differences) == 0, "differences": differences}
			if err := a.answer(v, func(w io.Writer) { render.Differences(w, differences, apt.CompareVersions) }); err != nil || len(differences) == 0 {
				return err
			}
			return quietExit(1)
		},
	}
}

func newConfigValidate(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "validate [FILE]", Short: "Check the text of a manifest", Args: some(cobra.MaximumNArgs(1)),
		Long:    "Check the text of a manifest, " + machineManifest + " when none is named. Exits 2 when something is wrong with it.",
		Example: "  cortex config validate machine.toml",
		RunE: func(_ *cobra.Command, args []string) error {
			args = append(args, machineManifest)
			m, err := a.readManifest(args[0])
			if err != nil {
				return err
			}
			v := map[string]any{"version": 1, "packages": len(m.Packages), "holds": len(m.Holds), "files": len(m.Files)}
			return a.answer(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s, %s, %s\n", args[0], render.Count(len(m.Packages), "package"), render.Count(len(m.Holds), "hold"), render.Count(len(m.Files), "file"))
			})
		},
	}
}
