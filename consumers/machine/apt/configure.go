package apt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"cortex/events"
)

// ConffileRegistry gives dpkg's registry of configuration files for every package that
// has some: lines "PATH HASH [obsolete]".
func (m *Machine) ConffileRegistry(ctx context.Context) (map[events.PackageKey]string, error) {
	registry, err := m.conffileRegistry.get(m, func() (map[events.PackageKey]string, error) { return m.readRegistry(ctx) })
	return maps.Clone(registry), err
}

func (m *Machine) readRegistry(ctx context.Context) (map[events.PackageKey]string, error) {
	native, err := m.NativeArch(ctx)
	if err != nil {
		return nil, err
	}
	out, err := m.runReadOnly(ctx, "dpkg-query", "-W", "-f", `${Package}\t${Architecture}\n${Conffiles}\n`)
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
	for k, lines := range registry { // dpkg's order is that of its last unpacking
		sorted := strings.Split(strings.TrimSuffix(lines, "\n"), "\n")
		slices.Sort(sorted)
		registry[k] = strings.Join(sorted, "\n") + "\n"
	}
	return registry
}

// ApplySetting brings one alternative, diversion or statoverride to what c.After
// says; "" takes it away.
func (m *Machine) ApplySetting(ctx context.Context, c events.SettingChange) error {
	argv, err := configureArgv(c)
	if err != nil || argv == nil {
		return err
	}
	for _, a := range argv {
		output, err := m.runToEnd(ctx, "configure", a)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return &events.Error{Op: "apt.Configure", Kind: events.ErrApt, Subject: a[0], Err: errors.New(failureReason(output, err))}
		}
	}
	return nil
}

// configureArgv is what runs to change one setting: at most two commands, the
// first of which takes the old value away.
func configureArgv(c events.SettingChange) ([][]string, error) {
	bad := func(why error) ([][]string, error) {
		return nil, &events.Error{Op: "apt.configureArgv", Kind: events.ErrUsage, Subject: string(c.Kind) + " " + c.Name, Err: why}
	}
	switch c.Kind {
	case events.SettingAlternative:
		if strings.Contains(c.Name, "/") || strings.HasPrefix(c.Name, "-") || events.ValidatePath("/"+c.Name) != nil {
			return bad(errors.New("not the name of a link group"))
		}
		choice, manual := strings.CutPrefix(c.After, "manual ")
		switch {
		case manual && events.ValidatePath(choice) != nil:
			return bad(errors.New("not a path"))
		case manual:
			return [][]string{{"update-alternatives", "--set", c.Name, choice}}, nil
		case c.After == "auto" && c.Before != "":
			return [][]string{{"update-alternatives", "--auto", c.Name}}, nil
		}
		return nil, nil // groups come and go with packages
	case events.SettingDiversion:
		return divertArgv(c, bad)
	case events.SettingOverride:
		return overrideArgv(c, bad)
	case events.SettingDebconf, events.SettingConffiles:
	}
	return bad(fmt.Errorf("not changed by a command"))
}

func divertArgv(c events.SettingChange, bad func(error) ([][]string, error)) ([][]string, error) {
	if err := events.ValidatePath(c.Name); err != nil {
		return bad(err)
	}
	var out [][]string
	if c.Before != "" {
		out = append(out, []string{"dpkg-divert", "--no-rename", "--remove", c.Name})
	}
	if c.After == "" {
		return out, nil
	}
	to, pkg, ok := strings.Cut(c.After, " ")
	if !ok || events.ValidatePath(to) != nil {
		return bad(errors.New("not a diversion"))
	}
	by := []string{"--local"}
	if pkg != ":" {
		if err := events.PackageName(pkg).Validate(); err != nil {
			return bad(err)
		}
		by = []string{"--package", pkg}
	}
	argv := append([]string{"dpkg-divert", "--no-rename"}, by...)
	return append(out, append(argv, "--divert", to, "--add", c.Name)), nil
}

func overrideArgv(c events.SettingChange, bad func(error) ([][]string, error)) ([][]string, error) {
	if err := events.ValidatePath(c.Name); err != nil {
		return bad(err)
	}
	var out [][]string
	if c.Before != "" {
		out = append(out, []string{"dpkg-statoverride", "--remove", c.Name})
	}
	if c.After == "" {
		return out, nil
	}
	f := strings.Fields(c.After)
	if len(f) != 3 || strings.HasPrefix(f[0], "-") || strings.HasPrefix(f[1], "-") || strings.Trim(f[2], "01234567") != "" {
		return bad(errors.New("not a statoverride"))
	}
	return append(out, []string{"dpkg-statoverride", "--add", f[0], f[1], f[2], c.Name}), nil
}

// DebDir is where package files from the vault lie, inside the root, while apt
// needs them.
const DebDir = "/var/cache/cortex/debs"

// placeDebs puts the package files that the step names where [Argv] says, and under
// the names that apt gives what it has fetched: where a source offers the same
// version, apt would rather fetch it again than take the file it was given.
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
			return done, &events.Error{Op: "apt.lend", Kind: events.ErrInternal, Subject: string(t.Name), Err: errors.New("there is no store of package files")}
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

// archivesDir is where apt keeps what it has fetched.
const archivesDir = "/var/cache/apt/archives"

// debFileName is the name that apt gives a package file.
func debFileName(n events.PackageName, v events.Version, a events.Architecture) string {
	return string(n) + "_" + strings.ReplaceAll(string(v), ":", "%3a") + "_" + string(a) + ".deb"
}

// debPath is the path of a package file from the vault as apt sees it.
func debPath(d events.Digest) string { return path.Join(DebDir, string(d)+".deb") }
