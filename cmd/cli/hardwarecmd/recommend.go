package hardwarecmd

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/adapters"
	"cortex/cmd/cli/cmdutil"
	"cortex/cmd/output"
	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/producers/hardware"
)

func newHardwareRecommend(a *commands) *cobra.Command {
	var missing bool
	cmd := &cobra.Command{
		Use: "recommend", Short: "Packages that suit this hardware, with the reason for each", Args: cmdutil.CheckArgs(cobra.NoArgs),
		Long: `Packages that suit this hardware: firmware, drivers, agents for virtual machines,
microcode, tools for laptops and disks. They follow from the facts that
'cortex hardware' shows, by fixed rules, and from what the machine's own catalogues
say of its devices: AppStream, isenkram, and the Modaliases fields of the package
lists. Nothing is installed.

  cortex hardware recommend
  cortex hardware recommend --missing --json`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.recommend(cmd.Context(), missing) },
	}
	cmd.Flags().BoolVar(&missing, "missing", false, "only what is not installed")
	return cmd
}

// recommendView is the answer as JSON.
type recommendView struct {
	Version         int                         `json:"version"`
	Recommendations []output.RecommendationView `json:"recommendations"`
	Withheld        string                      `json:"withheld,omitempty"` // why nothing is recommended
	Catalogues      []string                    `json:"catalogues"`         // files that were read
	Unread          []string                    `json:"unread"`             // files that were not, and why
}

func (a *commands) recommend(ctx context.Context, missing bool) error {
	collector := adapters.HardwareCollector(a.Settings)
	r, err := collector.Collect(ctx)
	if err != nil {
		return err
	}
	catalog := collector.ModaliasCatalog()
	list, withheld := hardware.Recommend(r.Facts, collector.Modaliases(), catalog)
	view := recommendView{Version: 1, Recommendations: []output.RecommendationView{}, Withheld: withheld, Catalogues: append([]string{}, catalog.FilesRead...), Unread: append([]string{}, catalog.FilesUnread...)}
	for _, advice := range a.advise(ctx, list) {
		if !missing || !advice.Installed {
			view.Recommendations = append(view.Recommendations, advice)
		}
	}
	err = a.PrintResult(view, func(w io.Writer) { output.Recommendations(w, view.Recommendations, withheld) })
	if len(view.Unread) > 0 {
		a.Infof("%s not read: see --json", output.Count(len(view.Unread), "catalogue"))
	}
	if names := installable(view.Recommendations); len(names) > 0 {
		a.Infof("hint: cortex install %s", strings.Join(names, " "))
	}
	return err
}

// advise adds what apt knows; where it cannot be asked nothing is claimed.
func (a *commands) advise(ctx context.Context, list []hardware.Recommendation) []output.RecommendationView {
	machine := apt.New(apt.Config{Root: a.Settings.Root})
	var names []events.PackageName
	for _, r := range list {
		names = append(names, r.Package)
	}
	inv, invErr := machine.Inventory(ctx)
	if invErr != nil {
		a.Infof("note: what is installed is not known: %v", invErr)
	}
	offered, offeredErr := machine.OfferedVersions(ctx, names)
	if offeredErr != nil {
		a.Infof("note: what the sources offer is not known: %v", offeredErr)
	}
	installed, has := map[events.PackageName]bool{}, map[events.PackageName]bool{}
	for k, s := range inv {
		installed[k.Name] = installed[k.Name] || s.Installed()
	}
	for k, versions := range offered {
		has[k.Name] = has[k.Name] || len(versions) > 0
	}
	var out []output.RecommendationView
	for _, r := range list {
		advice := output.RecommendationView{Recommendation: r, Installed: installed[r.Package], Offered: "no"}
		switch {
		case offeredErr != nil || machine.ListsEmpty():
			advice.Offered = "unknown"
		case has[r.Package]:
			advice.Offered = "yes"
		}
		out = append(out, advice)
	}
	return out
}

// installable are those that may be installed without a second thought.
func installable(list []output.RecommendationView) []string {
	var out []string
	for _, r := range list {
		if !r.Installed && r.Offered == "yes" && r.Confidence != events.ConfidenceGuess {
			out = append(out, string(r.Package))
		}
	}
	return out
}
