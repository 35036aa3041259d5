package apt

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"

	"cortex/events"
)

// fetchDir is where package files are downloaded to, inside the root.
const fetchDir = "/var/cache/cortex/fetch"

// OfferedVersions tells which versions of the named packages some source offers.
func (m *Machine) OfferedVersions(ctx context.Context, names []events.PackageName) (map[events.PackageKey][]events.Version, error) {
	if len(names) == 0 {
		return nil, nil
	}
	var refs []events.PackageRef
	for _, n := range names {
		if err := n.Validate(); err != nil {
			return nil, err
		}
		refs = append(refs, events.PackageRef{Name: n})
	}
	out, err := m.runReadOnly(ctx, versionsCommand(refs))
	if err != nil && events.KindOf(err) != events.ErrApt {
		return nil, err
	}
	native, err := m.NativeArch(ctx)
	if err != nil {
		return nil, err
	}
	offered := map[events.PackageKey][]events.Version{}
	for k, is := range parseShowpkg(string(out), native) {
		offered[k] = is.offered
	}
	return offered, nil
}

// FetchDeb gets the package file of a package in a version, from apt's own cache or
// from a source, and hands its path to keep. What cannot be had is an ErrNotFound
// error. Nothing on the machine changes.
func (m *Machine) FetchDeb(ctx context.Context, k events.PackageKey, v events.Version, keep func(path string) error) error {
	ref := events.PackageRef{Name: k.Name, Arch: k.Arch, Version: v}
	if err := ref.Validate(); err != nil {
		return err
	}
	for _, arch := range []events.Architecture{k.Arch, "all"} {
		cached := m.hostPath(path.Join(archivesDir, debFileName(k.Name, v, arch)))
		if _, err := os.Lstat(cached); err == nil {
			return keep(cached)
		}
	}
	dir, err := m.makeTempDir(fetchDir)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	native, err := m.NativeArch(ctx)
	if err != nil {
		return err
	}
	if k.Arch == native {
		ref.Arch = ""
	}
	cmd := m.prepare(downloadCommand(ref))
	cmd.Dir = strings.TrimPrefix(dir, strings.TrimSuffix(m.cfg.Root, "/"))
	child, err := m.start(cmd)
	if err != nil {
		return startError(aptGet, err)
	}
	failed := waitOrKill(ctx, child)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	found, _ := filepath.Glob(filepath.Join(dir, "*.deb"))
	if failed != nil || len(found) != 1 {
		return &events.Error{Op: "apt.Fetch", Kind: events.ErrNotFound, Subject: ref.String(), Err: errors.New("no source offers this version")}
	}
	return keep(found[0])
}

// makeTempDir makes a directory of its own below dir.
func (m *Machine) makeTempDir(dir string) (string, error) {
	err := os.MkdirAll(m.hostPath(dir), 0o755)
	var made string
	if err == nil {
		made, err = os.MkdirTemp(m.hostPath(dir), "")
	}
	if err != nil {
		return "", &events.Error{Op: "apt.scratch", Kind: events.ErrFull, Subject: dir, Err: err, Hint: "is the disk full?"}
	}
	return made, nil
}
