package hardwarecmd

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/cmd/units"
)

func newHardwareRecommend(a *commands) *cobra.Command {
	var missing bool
	cmd := &cobra.Command{
		Use: "recommend", Short: "Recommend packages for this hardware", Args: cmdutil.Args(0, 0),
		Long: `Recommend packages for this hardware: firmware, drivers, guest agents, microcode, and tools for
laptops and disks. The recommendations follow from the facts in 'cortex hardware' by fixed
rules, and from catalogues on this machine: AppStream, isenkram, and the Modaliases fields of
the package lists. Nothing is installed.`,
		Example: "  cortex hardware recommend\n  cortex hardware recommend --missing --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.recommend(cmd.Context(), missing) },
	}
	cmd.Flags().BoolVar(&missing, "missing", false, "show packages that are not installed")
	return cmd
}

func (a *commands) recommend(ctx context.Context, missing bool) error {
	advice, err := a.RecommendPackages(ctx, missing)
	if err != nil {
		return err
	}
	err = a.PrintResult(advice, func(w io.Writer) { output.Recommendations(w, advice) })
	if n := len(advice.Unread); n > 0 {
		a.Infof("%s could not be read; --json shows why", units.Count(n, "catalogue"))
	}
	var names []string
	for _, p := range advice.Recommendations {
		if p.Installable() {
			names = append(names, string(p.Package))
		}
	}
	if len(names) > 0 {
		a.Infof("hint: cortex install %s", strings.Join(names, " "))
	}
	return err
}
