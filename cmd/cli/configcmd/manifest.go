package configcmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/cli/iostreams"
	"cortex/cmd/cli/transactcmd"
	"cortex/cmd/output"
	"cortex/cmd/units"
	"cortex/events"
	"cortex/producers/manifest"
)

func newConfigExport(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "export", Short: "Export the machine as a manifest", Args: cmdutil.Args(0, 0),
		Long: `Export the machine as a manifest in TOML: the manually installed packages with their versions,
holds, and apt's sources, keys and preferences. The export leaves out keys that belong to a
package, and source lists that contain a password.

In the file, the version "*" stands for any version. You can delete what need not be the same
on another machine.`,
		Example: "  cortex config export >machine.toml", PersistentPreRunE: a.WithSettings,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := a.CaptureManifest(cmd.Context())
			if err != nil {
				return err
			}
			text, err := m.EncodeTOML()
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": 1, "manifest": m}, func(w io.Writer) { _, _ = w.Write(text) })
		},
	}
}

// importFlags are the flags of 'cortex config import'.
type importFlags struct {
	how                            transactcmd.ApprovalFlags
	options                        transactcmd.PlanFlags
	anyVersion, skipFiles, refresh bool
}

func newConfigImport(a *commands) *cobra.Command {
	var o importFlags
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Install what a manifest lists", Args: cmdutil.Args(1, 1),
		Long: `Install the packages in the manifest that are missing, at the listed versions, mark them as
manually installed, and apply the manifest's holds. This is one transaction, which you can
undo. Packages that the manifest does not list stay. If FILE is "-", the command reads standard
input.

An earlier transaction writes sources, keys and preferences that are missing or different,
because the packages of a source are known only when the source is in place.`,
		Example: "  cortex config import machine.toml --dry-run\n  cortex config import machine.toml --any-version", PersistentPreRunE: a.WithSettings,
		RunE: func(cmd *cobra.Command, args []string) error { return a.importManifest(cmd.Context(), args[0], o) },
	}
	o.how.Flags(cmd)
	o.options.Flags(cmd, events.VerbImport)
	cmd.Flags().BoolVar(&o.anyVersion, "any-version", false, "install the versions that the sources offer")
	cmd.Flags().BoolVar(&o.skipFiles, "skip-files", false, "do not change sources, keys and preferences")
	cmd.Flags().BoolVar(&o.refresh, "refresh", false, "fetch package lists first")
	return cmd
}

func (a *commands) importManifest(ctx context.Context, file string, o importFlags) error {
	want, err := app.ReadManifest(file, a.Stdin)
	if err != nil {
		return err
	}
	opts := o.options.Resolve(a.Context)
	opts.Refresh = o.refresh
	if !o.skipFiles {
		written, err := a.importFiles(ctx, want, o)
		if err != nil || written && o.how.DryRun {
			return err
		}
		opts.Refresh = o.refresh || written
	}
	return a.importRequest(ctx, want.ImportRequest(o.anyVersion), opts, o.how)
}

// importFiles writes apt's files that are missing or different, and reports whether there
// were any.
func (a *commands) importFiles(ctx context.Context, want manifest.Document, o importFlags) (written bool, err error) {
	request, err := a.MissingAptFiles(ctx, want)
	if err != nil || len(request.Files) == 0 {
		return false, err
	}
	if err := a.importRequest(ctx, request, o.options.Resolve(a.Context), o.how); err != nil {
		return true, err
	}
	if o.how.DryRun {
		a.Infof("the packages can be planned only when these files are in place")
	}
	return true, nil
}

func (a *commands) importRequest(ctx context.Context, request events.Manifest, o events.Options, how transactcmd.ApprovalFlags) error {
	in := events.Intent{Verb: events.VerbImport, Manifest: &request, Options: o}
	if err := in.Validate(); err != nil {
		return err
	}
	return transactcmd.Run(ctx, a.Context, in, how)
}

func newConfigDiff(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "diff [FILE [FILE]]", Short: "Compare the machine with a manifest", Args: cmdutil.Args(0, 2),
		Long: `Compare the machine with a manifest, or a manifest with a second one. The default manifest is
` + app.DefaultManifest + `. The exit code is 1 if there is a difference.`,
		Example: "  cortex config diff machine.toml", PersistentPreRunE: a.WithSettings,
		RunE: func(cmd *cobra.Command, args []string) error {
			differences, err := a.manifestDiff(cmd.Context(), args)
			if err != nil {
				return err
			}
			v := map[string]any{"version": 1, "same": len(differences) == 0, "differences": differences}
			if err := a.PrintResult(v, func(w io.Writer) { output.ManifestMismatches(w, differences) }); err != nil || len(differences) == 0 {
				return err
			}
			return iostreams.ExitCode(1)
		},
	}
}

// manifestDiff compares the machine or the second file with the first file.
func (a *commands) manifestDiff(ctx context.Context, files []string) ([]manifest.Mismatch, error) {
	want, err := app.ReadManifest(append(files, app.DefaultManifest)[0], a.Stdin)
	if err != nil {
		return nil, err
	}
	differences := []manifest.Mismatch{}
	if len(files) < 2 {
		found, err := a.CompareManifest(ctx, want)
		return append(differences, found...), err
	}
	have, err := app.ReadManifest(files[1], a.Stdin)
	if err != nil {
		return nil, err
	}
	return append(differences, manifest.Compare(want, have)...), nil
}

func newConfigValidate(a *commands) *cobra.Command {
	return &cobra.Command{
		Use: "validate [FILE]", Short: "Check a manifest for errors", Args: cmdutil.Args(0, 1),
		Long:    "Check a manifest for errors. The default is " + app.DefaultManifest + ". The exit code is 2 if there\nis an error.",
		Example: "  cortex config validate machine.toml",
		RunE: func(_ *cobra.Command, args []string) error {
			file := append(args, app.DefaultManifest)[0]
			m, err := app.ReadManifest(file, a.Stdin)
			if err != nil {
				return err
			}
			v := map[string]any{"version": 1, "packages": len(m.Packages), "holds": len(m.Holds), "files": len(m.Files)}
			return a.PrintResult(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s, %s, %s\n", file, units.Count(len(m.Packages), "package"), units.Count(len(m.Holds), "hold"), units.Count(len(m.Files), "file"))
			})
		},
	}
}
