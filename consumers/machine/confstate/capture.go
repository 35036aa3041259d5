// Package confstate captures and restores the state of a machine that is not in dpkg's
// package states: configuration files, debconf answers, alternatives, diversions,
// statoverrides, and dpkg's registry of conffiles.
//
// It promises:
//
//   - A snapshot is complete, or an error: every path under /etc and every conffile
//     elsewhere. When Capture returns, the content of each regular file is durable in
//     the store of blobs.
//   - Restore writes each path whole: to a temporary file, synced, renamed. A second run
//     changes nothing. It follows no symbolic link on the way to a path.
//   - Contents that not every user may read, and debconf's passwords, are encrypted;
//     their digests reveal nothing.
//
// Files that programs write by themselves (see regenerated) are not captured.
package confstate

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"cortex/consumers/machine/blobstore"
	"cortex/events"
)

// DpkgSettings reads and changes settings of dpkg; apt.Machine implements it.
type DpkgSettings interface {
	// ConffileRegistry returns dpkg's registry of conffiles for every package that has
	// any: lines "PATH HASH [obsolete]".
	ConffileRegistry(ctx context.Context) (map[events.PackageKey]string, error)
	// ApplySetting sets one alternative, diversion or statoverride to c.After.
	ApplySetting(ctx context.Context, c events.SettingChange) error
}

// Snapshots captures and restores the state of one machine. It is safe for concurrent
// use.
type Snapshots struct {
	root    string
	blobs   *blobstore.Blobs
	machine DpkgSettings
}

// New returns the snapshots of the machine under root.
func New(root string, v *blobstore.Blobs, m DpkgSettings) *Snapshots {
	if root == "" {
		root = "/"
	}
	return &Snapshots{root, v, m}
}

// regenerated are paths under /etc that programs write by themselves, from other state
// or at any time. They are not configuration, and no undo restores them.
var regenerated = map[string]bool{
	"/etc/ld.so.cache": true, "/etc/mtab": true, "/etc/.pwd.lock": true, "/etc/adjtime": true,
	"/etc/resolv.conf": true, "/etc/udev/hwdb.bin": true, "/etc/.updated": true,
}

// accountFiles are the files of users and groups. They are captured and compared, and
// never restored: an account may own files by then.
var accountFiles = map[string]bool{
	"/etc/passwd": true, "/etc/group": true, "/etc/shadow": true, "/etc/gshadow": true, "/etc/subuid": true, "/etc/subgid": true,
	"/etc/passwd-": true, "/etc/group-": true, "/etc/shadow-": true, "/etc/gshadow-": true, "/etc/subuid-": true, "/etc/subgid-": true,
}

// IsAccountFile reports whether the path is a file of users and groups.
func IsAccountFile(p string) bool { return accountFiles[p] }

// IsAlternativeLink reports whether update-alternatives manages the path: the link is
// restored with its alternative.
func IsAlternativeLink(p string) bool { return strings.HasPrefix(p, "/etc/alternatives/") }

// Capture takes a snapshot and stores every content in it.
func (k *Snapshots) Capture(ctx context.Context) (Snapshot, error) {
	registry, err := k.machine.ConffileRegistry(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	snapshot := Snapshot{Files: map[string]events.FileState{}}
	if err := k.captureTree("/etc", snapshot.Files); err != nil {
		return Snapshot{}, err
	}
	for _, lines := range registry {
		for line := range strings.Lines(lines) {
			p := ConffilePath(line)
			if strings.HasPrefix(p, "/etc/") || events.ValidatePath(p) != nil {
				continue
			}
			for _, suffix := range []string{"", ".dpkg-old", ".dpkg-dist", ".dpkg-new"} {
				if err := k.captureInto(p+suffix, snapshot.Files); err != nil {
					return Snapshot{}, err
				}
			}
		}
	}
	snapshot.Settings, err = k.readSettings(registry)
	return snapshot, err
}

// ConffilePath returns the path in a registry line "PATH HASH [obsolete]".
func ConffilePath(line string) string {
	line = strings.TrimSpace(line)
	line = strings.TrimSuffix(strings.TrimSuffix(line, " obsolete"), " remove-on-upgrade")
	if i := strings.LastIndexByte(line, ' '); i > 0 {
		return line[:i]
	}
	return ""
}

// Save stores a snapshot and returns its digest.
func (k *Snapshots) Save(i Snapshot) (events.Digest, error) {
	b, err := i.encode()
	if err != nil {
		return "", err
	}
	return k.blobs.PutSecret(b) // it contains names of secret files
}

// CaptureState captures and stores a snapshot and the inventory of packages.
func (k *Snapshots) CaptureState(ctx context.Context, inventory func(context.Context) (events.Inventory, error)) (events.StateSnapshot, error) {
	inv, err := inventory(ctx)
	if err != nil {
		return events.StateSnapshot{}, err
	}
	snapshot, err := k.Capture(ctx)
	if err != nil {
		return events.StateSnapshot{}, err
	}
	b, err := json.Marshal(inv.Packages())
	if err != nil {
		return events.StateSnapshot{}, err
	}
	packages, err := k.blobs.PutSecret(b)
	if err != nil {
		return events.StateSnapshot{}, err
	}
	confState, err := k.Save(snapshot)
	return events.StateSnapshot{Packages: packages, ConfState: confState}, err
}

// Load reads a stored snapshot.
func (k *Snapshots) Load(d events.Digest) (Snapshot, error) {
	b, err := k.blobs.Get(d, true)
	if err != nil {
		return Snapshot{}, err
	}
	return decodeSnapshot(b)
}

func (k *Snapshots) hostPath(p string) string { return filepath.Join(k.root, p) }

func (k *Snapshots) captureTree(top string, into map[string]events.FileState) error {
	err := filepath.WalkDir(k.hostPath(top), func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed in the meantime
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(k.root, name)
		if err != nil {
			return err
		}
		return k.captureInto("/"+rel, into)
	})
	if err != nil {
		return &events.Error{Op: "confstate.Capture", Kind: events.KindOf(err), Subject: top, Err: err}
	}
	return nil
}

// captureInto adds one path to the snapshot, if it exists.
func (k *Snapshots) captureInto(p string, into map[string]events.FileState) error {
	if regenerated[p] || events.ValidatePath(p) != nil || strings.HasPrefix(path.Base(p), tempPrefix) {
		return nil
	}
	s, err := k.CaptureFile(p)
	if err != nil || !s.Exists() {
		return err
	}
	into[p] = s
	return nil
}

// CaptureFile returns the state of one path and stores its content.
func (k *Snapshots) CaptureFile(p string) (events.FileState, error) {
	name := k.hostPath(p)
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return events.FileState{}, nil
	}
	if err != nil {
		return events.FileState{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	s := events.FileState{Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid)}
	switch info.Mode().Type() {
	case 0:
		s.Kind = events.FileRegular
		return k.storeContent(name, s)
	case fs.ModeDir:
		s.Kind = events.FileDir
	case fs.ModeSymlink:
		s.Kind = events.FileLink
		s.Link, err = os.Readlink(name)
		if errors.Is(err, fs.ErrNotExist) {
			return events.FileState{}, nil
		}
	default:
		s.Kind = events.FileOther
	}
	return s, err
}

func (k *Snapshots) storeContent(name string, s events.FileState) (events.FileState, error) {
	b, err := readBounded(name)
	if errors.Is(err, fs.ErrNotExist) {
		return events.FileState{}, nil
	}
	if err != nil {
		return s, err
	}
	s.Size = int64(len(b))
	if s.Size > events.MaxStoredFileBytes {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s.Size, s.NotStored = info.Size(), true
		return s, nil
	}
	s.Secret = s.Mode&0o004 == 0
	if s.Secret {
		s.Digest, err = k.blobs.PutSecret(b)
	} else {
		s.Digest, err = k.blobs.Put(b)
	}
	return s, err
}

// readBounded reads a file, up to one byte more than the maximum size of a content.
func readBounded(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readUpTo(f, events.MaxStoredFileBytes+1)
}
