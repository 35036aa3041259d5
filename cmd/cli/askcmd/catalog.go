package askcmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"cortex/cmd/app"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/units"
)

func newCatalog(a *commands) *cobra.Command {
	cmd := &cobra.Command{
		Use: "catalog COMMAND", Short: "Manage the package search index",
		Long: `Manage the package search index, in which requests in words are looked up. Cortex builds it from
apt's package lists and updates it when they change. Many machines do not fetch long
descriptions; 'cortex catalog fetch' fetches them into a directory of cortex and improves the
search.`,
		Args: cmdutil.Args(0, 0), RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newCatalogCommand(a, "status", "Show the sources and the state of the index", a.CatalogStatus),
		newCatalogCommand(a, "build", "Build the index again", a.BuildCatalog),
		newCatalogCommand(a, "fetch", "Fetch long descriptions, and build the index", a.FetchCatalog),
	)
	return cmd
}

func newCatalogCommand(a *commands, use, short string, run func(context.Context) (app.CatalogStatus, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cmdutil.Args(0, 0), Example: "  cortex catalog " + use,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := run(cmd.Context())
			if err != nil {
				return err
			}
			return a.PrintResult(s, func(w io.Writer) {
				state := "up to date"
				if !s.Fresh {
					state = "older than apt's package lists"
				}
				fmt.Fprintf(w, "%s, %s\nbuilt from %s\n%s\n", units.Count(s.Packages, "package"), state, s.Sources, s.Path)
			})
		},
	}
}
