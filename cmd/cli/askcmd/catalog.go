package askcmd

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/openindex"
	"cortex/cmd/output"
	"cortex/consumers/machine/apt"
	"cortex/embedded/pkgindex"
	"cortex/events"
)

// newCatalog makes the commands about the index that words are looked up in.
func newCatalog(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "catalog COMMAND", Short: "The index of packages that words are looked up in",
		Long: `The index of packages that words are looked up in: made of apt's lists, by itself
when they change. Many machines leave out long descriptions; 'fetch' gets them into
a directory of cortex's own, and words find more.`,
		Args: cmdutil.CheckArgs(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "status", Short: "Say what the index was made of, and whether it is up to date", Args: cmdutil.CheckArgs(cobra.NoArgs),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.catalogStatus(cmd) },
		},
		&cobra.Command{
			Use: "build", Short: "Make the index anew", Args: cmdutil.CheckArgs(cobra.NoArgs),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.catalogBuild(cmd) },
		},
		&cobra.Command{
			Use: "fetch", Short: "Fetch long descriptions, and make the index anew", Args: cmdutil.CheckArgs(cobra.NoArgs),
			RunE: func(cmd *cobra.Command, _ []string) error { return a.catalogFetch(cmd) },
		},
	)
	return cmd
}

// catalogView is the index, as JSON.
type catalogView struct {
	Version  int    `json:"version"`
	Path     string `json:"path"`
	Packages int    `json:"packages"`
	Sources  string `json:"sources"`
	Fresh    bool   `json:"fresh"`
}

func (a *commands) catalogStatus(cmd *cobra.Command) error {
	p := openindex.LocationFor(a.Settings, a.Env)
	for _, path := range []string{p.SystemPath, p.WritablePath} {
		if path == "" {
			continue
		}
		c, err := pkgindex.Open(cmd.Context(), path)
		if err != nil {
			continue
		}
		defer c.Close()
		v := catalogView{1, path, c.PackageCount(), c.Sources(), c.UpToDate(p.ListDirs)}
		return a.PrintResult(v, func(w io.Writer) {
			state := "up to date"
			if !v.Fresh {
				state = "apt's lists are newer"
			}
			fmt.Fprintf(w, "%s, %s\nmade of %s\n%s\n", output.Count(v.Packages, "package"), state, v.Sources, v.Path)
		})
	}
	return &events.Error{Op: "cli.catalogStatus", Kind: events.ErrNotFound, Subject: p.WritablePath, Err: errors.New("there is no index yet"), Hint: "the first search makes it, or: cortex catalog build"}
}

func (a *commands) catalogBuild(cmd *cobra.Command) error {
	p := openindex.LocationFor(a.Settings, a.Env)
	if err := pkgindex.Build(cmd.Context(), pkgindex.Config{Dirs: p.ListDirs, Path: p.WritablePath, Progress: func(stage string) { a.Infof("%s…", stage) }}); err != nil {
		return err
	}
	return a.catalogStatus(cmd)
}

func (a *commands) catalogFetch(cmd *cobra.Command) error {
	if a.UID != 0 {
		return &events.Error{Op: "cli.catalogFetch", Kind: events.ErrConfirmation, Err: errors.New("fetching lists needs root"), Hint: "run: sudo cortex catalog fetch"}
	}
	if a.Settings.Root != "/" {
		return &events.Error{Op: "cli.catalogFetch", Kind: events.ErrUsage, Subject: "CORTEX_ROOT", Err: errors.New("lists are fetched for the running system only")}
	}
	a.Infof("fetching lists with long descriptions…")
	machine := apt.New(apt.Config{Root: a.Settings.Root, WorkDir: a.Settings.WorkDir()})
	if err := machine.FetchLists(cmd.Context(), a.Settings.DescriptionListsDir()); err != nil {
		return err
	}
	return a.catalogBuild(cmd)
}
