package apt

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"cortex/events"
	"cortex/internal/debian"
)

// kibibyte is the unit of Installed-Size (Debian Policy 5.6.20).
const kibibyte = 1024

// installedInfo is dpkg's information about an installed package.
type installedInfo struct {
	size      int64 // bytes
	essential bool  // dpkg or apt refuse to remove it by default
}

// describe adds to each change how much disk space it takes or frees, and whether the
// package is essential. It returns the sum of the disk space.
func (m *Machine) describe(ctx context.Context, changes []events.PlannedChange, native events.Architecture) (disk int64, err error) {
	there, err := m.installedInfos(ctx, changes, native)
	if err != nil {
		return 0, err
	}
	coming, err := m.offeredSizes(ctx, changes, native)
	if err != nil {
		return 0, err
	}
	for i, c := range changes {
		switch c.Action {
		case events.ActionInstall, events.ActionUpgrade, events.ActionDowngrade:
			changes[i].DiskDelta = coming[versionKey{c.PackageKey, c.To}]
			if c.From != "" && changes[i].DiskDelta != 0 {
				changes[i].DiskDelta -= there[c.PackageKey].size
			}
		case events.ActionRemove, events.ActionPurge:
			if c.From != "" {
				changes[i].DiskDelta = -there[c.PackageKey].size
				changes[i].Essential = there[c.PackageKey].essential
			}
		case events.ActionReinstall, events.ActionConfigure, events.ActionHold, events.ActionUnhold, events.ActionMarkAuto, events.ActionMarkManual:
		}
		disk += changes[i].DiskDelta
	}
	return disk, nil
}

const installedFormat = "${Package}\t${Architecture}\t${Installed-Size}\t${Essential}\t${Protected}\t${Important}\n"

// installedInfos queries dpkg about the packages that the plan changes or removes.
func (m *Machine) installedInfos(ctx context.Context, changes []events.PlannedChange, native events.Architecture) (map[events.PackageKey]installedInfo, error) {
	var names []events.PackageName
	for _, c := range changes {
		if c.From != "" {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	out, err := m.runReadOnly(ctx, queryCommand(installedFormat, names...))
	if err != nil && events.KindOf(err) != events.ErrApt { // it prints those that it knows
		return nil, err
	}
	return parseInstalledInfos(string(out), native), nil
}

// parseInstalledInfos parses the output of dpkg-query in installedFormat. apt and dpkg
// count as essential: apt refuses to remove them, although dpkg has no such field.
func parseInstalledInfos(out string, native events.Architecture) map[events.PackageKey]installedInfo {
	found := map[events.PackageKey]installedInfo{}
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 6 {
			continue
		}
		found[keyOf(f[0], f[1], native)] = installedInfo{parseSize(f[2]), f[0] == "apt" || f[0] == "dpkg" || slices.Contains(f[3:], "yes")}
	}
	return found
}

func parseSize(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return 0
	}
	return n * kibibyte
}

// versionKey is one version of a package.
type versionKey struct {
	events.PackageKey
	version events.Version
}

// offeredSizes queries apt's cache about the versions that the plan installs. An unknown
// version has no entry.
func (m *Machine) offeredSizes(ctx context.Context, changes []events.PlannedChange, native events.Architecture) (map[versionKey]int64, error) {
	var refs []events.PackageRef
	for _, c := range changes {
		if c.To != "" && c.To != c.From {
			refs = append(refs, events.PackageRef{Name: c.Name, Arch: c.Arch, Version: c.To})
		}
	}
	if len(refs) == 0 {
		return nil, nil
	}
	out, err := m.runReadOnly(ctx, showCommand(refs))
	if err != nil && events.KindOf(err) != events.ErrApt {
		return nil, err
	}
	return parseSizes(string(out), native), nil
}

// parseSizes parses the output of "apt-cache show".
func parseSizes(out string, native events.Architecture) map[versionKey]int64 {
	found := map[versionKey]int64{}
	_ = debian.Stanzas(strings.NewReader(out), maxFieldBytes, []string{"Package", "Architecture", "Version", "Installed-Size"}, func(fields map[string]string) {
		if fields["Package"] != "" && fields["Installed-Size"] != "" {
			k := keyOf(fields["Package"], fields["Architecture"], native)
			found[versionKey{k, events.Version(fields["Version"])}] = parseSize(fields["Installed-Size"])
		}
	})
	return found
}
