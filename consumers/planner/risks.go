package planner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
)

// risks lists what an undo of the plan could not restore: versions that are neither
// stored nor offered, data outside configuration files, and the running kernel.
func (p *Planner) risks(ctx context.Context, plan events.Plan) ([]string, error) {
	var out []string
	var gone []events.PlannedChange
	var names []events.PackageName
	for _, c := range plan.Changes {
		if c.Action == events.ActionPurge && c.From == "" {
			out = append(out, fmt.Sprintf("%s: dpkg's own record of the leftover configuration files; the files are restored", c.Name))
			continue
		}
		switch c.Action {
		case events.ActionUpgrade, events.ActionDowngrade, events.ActionReinstall, events.ActionRemove, events.ActionPurge:
			if c.From != "" {
				gone = append(gone, c)
				names = append(names, c.Name)
			}
		case events.ActionInstall, events.ActionConfigure, events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual:
		}
	}
	if len(gone) == 0 {
		return out, nil
	}
	offered, err := p.machine.OfferedVersions(ctx, names)
	if err != nil {
		return nil, err
	}
	data, err := p.machine.DataPaths(ctx, names)
	if err != nil {
		return nil, err
	}
	for _, c := range gone {
		if _, kept := p.blobs.Deb(c.PackageKey, c.From); !kept && !slices.Contains(offered[c.PackageKey], c.From) {
			out = append(out, fmt.Sprintf("%s %s: this version is no longer offered and no copy is stored", c.Name, c.From))
		}
		if c.Action != events.ActionRemove && len(data[c.Name]) > 0 {
			out = append(out, fmt.Sprintf("%s: data in %s", c.Name, strings.Join(data[c.Name], ", ")))
		}
		if strings.HasPrefix(string(c.Name), "linux-image-") {
			out = append(out, fmt.Sprintf("%s: the running kernel; the boot loader chooses it", c.Name))
		}
	}
	return out, nil
}
