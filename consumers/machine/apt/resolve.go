package apt

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"cortex/events"
	"cortex/internal/editdistance"
)

// cacheEntry is the entry of one name in apt's cache.
type cacheEntry struct {
	offered   []events.Version // in a package list
	installed []events.Version // in dpkg's status
	provided  bool             // a package provides this virtual name
}

// CheckNames checks that every name exists exactly as given, in the given version. It
// must run before apt: apt reads an unknown name as a pattern, or its last character as
// "install" or "remove". An unknown name is an ErrNotFound error whose hint has similar
// names.
func (m *Machine) CheckNames(ctx context.Context, refs []events.PackageRef) error {
	if len(refs) == 0 {
		return nil
	}
	var names []events.PackageRef
	for _, r := range refs {
		if err := r.Validate(); err != nil {
			return err
		}
		names = append(names, events.PackageRef{Name: r.Name, Arch: r.Arch})
	}
	out, err := m.runReadOnly(ctx, versionsCommand(names))
	if err != nil && events.KindOf(err) != events.ErrApt {
		return err
	}
	native, err := m.NativeArch(ctx)
	if err != nil {
		return err
	}
	packages := parseShowpkg(string(out), native)
	for _, r := range refs {
		if err := m.checkName(ctx, r, packages.find(r)); err != nil {
			return err
		}
	}
	return nil
}

// cacheEntries are entries of apt's cache, by name and architecture.
type cacheEntries map[events.PackageKey]cacheEntry

// find returns the entry of a name. Without an architecture it merges the entries of
// all architectures.
func (c cacheEntries) find(r events.PackageRef) cacheEntry {
	var out cacheEntry
	for k, is := range c {
		if k.Name == r.Name && (r.Arch == "" || r.Arch == "all" || r.Arch == k.Arch) {
			out.offered = append(out.offered, is.offered...)
			out.installed = append(out.installed, is.installed...)
			out.provided = out.provided || is.provided
		}
	}
	return out
}

func (m *Machine) checkName(ctx context.Context, r events.PackageRef, k cacheEntry) error {
	fail := func(hint, format string, args ...any) error {
		return &events.Error{Op: "apt.CheckNames", Kind: events.ErrNotFound, Subject: r.String(), Err: fmt.Errorf(format, args...), Hint: hint}
	}
	versions := slices.Concat(k.offered, k.installed)
	switch {
	case len(versions) == 0 && !k.provided:
		return fail(m.suggestNames(ctx, r.Name), "no such package")
	case r.Version == "" || slices.Contains(k.offered, r.Version):
		return nil
	case slices.Contains(k.installed, r.Version):
		return nil // apt finds nothing to do
	case len(k.offered) == 0:
		return fail("", "no source offers this package")
	}
	slices.SortFunc(k.offered, func(a, b events.Version) int { return CompareVersions(b, a) })
	k.offered = slices.Compact(k.offered)
	return fail("offered: "+joinVersions(k.offered[:min(5, len(k.offered))]), "no source offers this version")
}

func joinVersions(versions []events.Version) string {
	var s []string
	for _, v := range versions {
		s = append(s, string(v))
	}
	return strings.Join(s, ", ")
}

// parseShowpkg parses "apt-cache showpkg": for each package a line "Package: X", after
// "Versions:" lines "VERSION (LIST) (LIST)…", and after "Reverse Provides:" lines
// "PROVIDER VERSION". The name has no architecture if it is native or "all".
func parseShowpkg(out string, native events.Architecture) cacheEntries {
	found := cacheEntries{}
	var at events.PackageKey
	section := ""
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		if n, ok := strings.CutPrefix(line, "Package: "); ok {
			name, arch, _ := strings.Cut(strings.TrimSpace(n), ":")
			at, section = keyOf(name, arch, native), ""
			if _, ok := found[at]; !ok {
				found[at] = cacheEntry{}
			}
			continue
		}
		if !strings.HasPrefix(line, " ") && (strings.HasSuffix(line, ": ") || strings.HasSuffix(line, ":")) {
			section = strings.TrimRight(line, ": ")
			continue
		}
		k := found[at]
		switch {
		case line == "" || strings.HasPrefix(line, " "):
		case section == "Versions":
			version, lists, _ := strings.Cut(line, " ")
			for f := range strings.SplitSeq(lists, ")") {
				switch f = strings.TrimLeft(f, " ("); {
				case strings.Contains(f, "/dpkg/status"):
					k.installed = append(k.installed, events.Version(version))
				case strings.Contains(f, "/"):
					k.offered = append(k.offered, events.Version(version))
				}
			}
		case section == "Reverse Provides":
			k.provided = true
		}
		found[at] = k
	}
	return found
}

// PackageNames lists every package name that apt knows and that starts with prefix.
func (m *Machine) PackageNames(ctx context.Context, prefix string) ([]string, error) {
	c, err := namesCommand(prefix)
	if err != nil {
		return nil, err
	}
	out, err := m.runReadOnly(ctx, c)
	if err != nil {
		return nil, err
	}
	names := strings.Fields(string(out))
	slices.Sort(names)
	return names, nil
}

// suggestNames returns a hint with the names that are most similar to the given one.
func (m *Machine) suggestNames(ctx context.Context, name events.PackageName) string {
	if m.ListsEmpty() {
		return "there are no package lists; run 'apt-get update'"
	}
	names, err := m.PackageNames(ctx, "")
	if err != nil {
		return ""
	}
	type candidate struct {
		name     string
		distance int
	}
	var best []candidate
	limit := max(1, min(3, len(name)/3))
	for _, n := range names {
		if d := editdistance.Within(string(name), n, limit); d <= limit {
			best = append(best, candidate{n, d})
		}
	}
	slices.SortStableFunc(best, func(a, b candidate) int { return a.distance - b.distance })
	if len(best) == 0 {
		return "see 'apt-cache search " + string(name) + "'"
	}
	var hint []string
	for _, c := range best[:min(3, len(best))] {
		hint = append(hint, c.name)
	}
	return "did you mean " + strings.Join(hint, ", ") + "?"
}
