package apt

import (
	"context"
	"errors"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"cortex/events"
)

// ConffileRegistry returns dpkg's registry of conffiles for every package that has any:
// lines "PATH HASH [obsolete]".
func (m *Machine) ConffileRegistry(ctx context.Context) (map[events.PackageKey]string, error) {
	registry, err := m.conffileRegistry.get(m, func() (map[events.PackageKey]string, error) { return m.readRegistry(ctx) })
	return maps.Clone(registry), err
}

func (m *Machine) readRegistry(ctx context.Context) (map[events.PackageKey]string, error) {
	native, err := m.NativeArch(ctx)
	if err != nil {
		return nil, err
	}
	out, err := m.runReadOnly(ctx, queryCommand(`${Package}\t${Architecture}\n${Conffiles}\n`))
	if err != nil && !(len(out) == 0 && strings.Contains(err.Error(), "no packages found")) {
		return nil, err
	}
	return parseRegistry(string(out), native), nil
}

func parseRegistry(out string, native events.Architecture) map[events.PackageKey]string {
	registry := map[events.PackageKey]string{}
	var at events.PackageKey
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		switch name, arch, ok := strings.Cut(line, "\t"); {
		case strings.HasPrefix(line, " "):
			registry[at] += strings.TrimSpace(line) + "\n"
		case ok:
			at = keyOf(name, arch, native)
		}
	}
	for k, lines := range registry { // dpkg's own order changes when it unpacks the package
		sorted := strings.Split(strings.TrimSuffix(lines, "\n"), "\n")
		slices.Sort(sorted)
		registry[k] = strings.Join(sorted, "\n") + "\n"
	}
	return registry
}

// ApplySetting sets one alternative, diversion or statoverride to c.After; "" removes
// it.
func (m *Machine) ApplySetting(ctx context.Context, c events.SettingChange) error {
	commands, err := settingCommands(c)
	if err != nil {
		return err
	}
	for _, c := range commands {
		output, err := m.runToEnd(ctx, "configure", c)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return &events.Error{Op: "apt.ApplySetting", Kind: events.ErrApt, Subject: c.program(), Err: errors.New(failureReason(output, err))}
		}
	}
	return nil
}

// DebDir is the directory inside the root that holds package files from the store while apt
// needs them.
const DebDir = "/var/cache/cortex/debs"

// placeDebs puts the package files that the step names into DebDir, and into apt's cache
// under the names that apt uses: if a source offers the same version, apt would
// otherwise fetch it again. done removes them.
func (m *Machine) placeDebs(s events.Step, native events.Architecture) (done func(), err error) {
	var paths []string
	done = func() {
		for _, p := range paths {
			_ = os.Remove(p)
		}
	}
	for _, t := range s.Targets {
		if t.Deb == "" {
			continue
		}
		if m.cfg.PlaceDeb == nil {
			return done, &events.Error{Op: "apt.placeDebs", Kind: events.ErrInternal, Subject: string(t.Name), Err: errors.New("no store of package files is configured")}
		}
		p, err := m.cfg.PlaceDeb(t.Deb, m.hostPath(DebDir))
		if err != nil {
			return done, err
		}
		paths = append(paths, p)
		for _, arch := range []events.Architecture{t.Arch, native, "all"} {
			fetched := m.hostPath(path.Join(archivesDir, debFileName(t.Name, t.Version, arch)))
			if t.Version != "" && arch != "" && os.Link(p, fetched) == nil {
				paths = append(paths, fetched)
			}
		}
	}
	return done, nil
}

// archivesDir is apt's cache of package files.
const archivesDir = "/var/cache/apt/archives"

// debFileName returns apt's name for a package file.
func debFileName(n events.PackageName, v events.Version, a events.Architecture) string {
	return string(n) + "_" + strings.ReplaceAll(string(v), ":", "%3a") + "_" + string(a) + ".deb"
}

// debPath returns the path of a package file from the store, inside the root.
func debPath(d events.Digest) string { return path.Join(DebDir, string(d)+".deb") }
