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

// Restore carries out a restore step. base is the snapshot from before the transaction's
// first step. A step with RevertSideEffects also restores other differences from base.
func (k *Snapshots) Restore(ctx context.Context, step events.Step, base Snapshot) error {
	now, err := k.Capture(ctx)
	if err != nil {
		return err
	}
	files, settings := step.Files, step.Settings
	if step.RevertSideEffects {
		files, settings = withSideEffects(step, base, now)
	}
	if err := k.restoreFiles(files, now); err != nil {
		return err
	}
	return k.restoreSettings(ctx, settings, now)
}

// withSideEffects returns the changes of the step, and those that revert everything else
// that earlier steps of the transaction changed.
func withSideEffects(step events.Step, base, now Snapshot) ([]events.FileChange, []events.SettingChange) {
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

// restoreFiles sets every path to its After. First it removes paths that must not exist
// or have another kind, the deepest first. Then it creates directories before their
// contents.
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
	return &events.Error{Op: "confstate.Restore", Kind: kind, Subject: p, Err: err, Hint: "the undo is incomplete; fix the cause and run it again"}
}

// removePath removes a path. A directory that is not empty stays.
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

// checkNoSymlinks returns an error if a parent directory of p is a symbolic link.
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
			return fmt.Errorf("its parent %s is not a directory", dir)
		}
	}
	return nil
}

// restorePath sets a path to the state s.
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

// restoreSettings sets every setting to its After, except dpkg's registry of conffiles,
// which only dpkg changes.
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

// Content returns the stored content of a file; nil if it has none.
func (k *Snapshots) Content(s events.FileState) ([]byte, error) {
	if s.Kind != events.FileRegular || s.NotStored {
		return nil, nil
	}
	return k.blobs.Get(s.Digest, s.Secret)
}
