package confstate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"

	"cortex/events"
	"cortex/internal/atomicfile"
)

// Restore carries out a restore step. base is the image from before the
// transaction's first step; a step that sweeps puts back what differs from it and
// is not the step's own.
func (k *Snapshots) Restore(ctx context.Context, step events.Step, base Snapshot) error {
	now, err := k.Capture(ctx)
	if err != nil {
		return err
	}
	files, settings := step.Files, step.Settings
	if step.RevertSideEffects {
		files, settings = addSwept(step, base, now)
	}
	if err := k.restoreFiles(files, now); err != nil {
		return err
	}
	return k.restoreSettings(ctx, settings, now)
}

// addSwept adds what earlier steps of the transaction changed besides: it goes back
// to what base says.
func addSwept(step events.Step, base, now Snapshot) ([]events.FileChange, []events.SettingChange) {
	wanted := Snapshot{Files: map[string]events.FileState{}, Settings: map[SettingKey]string{}}
	for p, s := range base.Files {
		wanted.Files[p] = s
	}
	for n, v := range base.Settings {
		wanted.Settings[n] = v
	}
	for _, c := range step.Files {
		wanted.Files[c.Path] = c.After
	}
	for _, c := range step.Settings {
		wanted.Settings[SettingKey{c.Kind, c.Name}] = c.After
	}
	return Diff(now, wanted)
}

// restoreFiles brings every path to its After: first what shall not be there or
// shall be something else goes, the deepest first; then directories are made, the
// highest first; then files and links.
func (k *Snapshots) restoreFiles(changes []events.FileChange, now Snapshot) error {
	changes = slices.DeleteFunc(slices.Clone(changes), func(c events.FileChange) bool {
		return accountFiles[c.Path] || IsAlternativeLink(c.Path) || c.After == now.Files[c.Path]
	})
	slices.SortFunc(changes, func(a, b events.FileChange) int { return cmp.Compare(a.Path, b.Path) })
	for _, c := range slices.Backward(changes) {
		if is := now.Files[c.Path]; is.Exists() && is.Kind != c.After.Kind {
			if err := k.removePath(c.Path); err != nil {
				return restoreError(c.Path, err)
			}
		}
	}
	for _, c := range changes {
		if err := k.restorePath(c.Path, c.After); err != nil {
			return restoreError(c.Path, err)
		}
	}
	return nil
}

func restoreError(p string, err error) error {
	kind := events.KindOf(err)
	if errors.Is(err, syscall.ENOSPC) {
		kind = events.ErrFull
	}
	return &events.Error{Op: "confstate.Restore", Kind: kind, Subject: p, Err: err, Hint: "what could be restored is restored; try the undo again when the cause is mended"}
}

// removePath takes a path away; a directory that still holds something stays.
func (k *Snapshots) removePath(p string) error {
	if err := k.checkNoSymlinks(p); err != nil {
		return err
	}
	err := os.Remove(k.hostPath(p))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil
	}
	return err
}

// checkNoSymlinks makes sure that no directory on the way to p is a symbolic link.
func (k *Snapshots) checkNoSymlinks(p string) error {
	if err := events.ValidatePath(p); err != nil {
		return err
	}
	for dir := path.Dir(p); dir != "/"; dir = path.Dir(dir) {
		info, err := os.Lstat(k.hostPath(dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s on the way to it is not a directory", dir)
		}
	}
	return nil
}

// restorePath makes a path what s says.
func (k *Snapshots) restorePath(p string, s events.FileState) error {
	if s.Kind == events.FileAbsent || s.Kind == events.FileOther || s.NotStored {
		return nil
	}
	if err := k.checkNoSymlinks(p); err != nil {
		return err
	}
	name := k.hostPath(p)
	if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	switch s.Kind {
	case events.FileDir:
		return putDir(name, s)
	case events.FileLink:
		return putLink(name, s)
	case events.FileRegular:
		content, err := k.blobs.Get(s.Digest, s.Secret)
		if err != nil {
			return err
		}
		return replaceFile(name, content, s)
	case events.FileAbsent, events.FileOther:
	}
	return nil
}

func putDir(name string, s events.FileState) error {
	if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return errors.Join(os.Lchown(name, s.UID, s.GID), syscall.Chmod(name, s.Mode))
}

func putLink(name string, s events.FileState) error {
	return atomicfile.Symlink(name, s.Link, atomicfile.Options{Owner: &atomicfile.Owner{UID: s.UID, GID: s.GID}, Temp: tempPrefix + "link"})
}

// restoreSettings brings every setting to its After. dpkg's registry of
// configuration files is dpkg's own: it is only compared.
func (k *Snapshots) restoreSettings(ctx context.Context, changes []events.SettingChange, now Snapshot) error {
	var answers []events.SettingChange
	for _, c := range changes {
		is := now.Settings[SettingKey{c.Kind, c.Name}]
		if is == c.After || c.Kind == events.SettingConffiles {
			continue
		}
		c.Before = is
		if c.Kind == events.SettingDebconf {
			answers = append(answers, c)
			continue
		}
		if err := k.machine.ApplySetting(ctx, c); err != nil {
			return fmt.Errorf("%s %s: %w", c.Kind, c.Name, err)
		}
	}
	return k.writeDebconf(answers)
}

// Content gives a file's kept content.
func (k *Snapshots) Content(s events.FileState) ([]byte, error) {
	if s.Kind != events.FileRegular || s.NotStored {
		return nil, nil
	}
	return k.blobs.Get(s.Digest, s.Secret)
}
