// Package confstate captures the part of a machine's state that dpkg's package
// states do not tell – files, debconf answers, alternatives, diversions,
// statoverrides, dpkg's registry of configuration files – and brings it back.
//
// It promises:
//
//   - An image is complete or an error: every path under /etc and every
//     configuration file elsewhere, with the content of each regular file in the
//     vault (synced) before Capture returns.
//   - Restore puts each path whole into place (written beside, synced, renamed);
//     repeating it changes nothing. It follows no symbolic link on the way.
//   - Contents that not everybody may read, and debconf's passwords, are kept
//     encrypted; their digests tell nothing.
//
// What programs make again by themselves (see derived) is not looked at.
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

// DpkgSettings is what the keeper needs of dpkg.
type DpkgSettings interface {
	// ConffileRegistry gives dpkg's registry of configuration files for every package
	// that has some: lines "PATH HASH [obsolete]".
	ConffileRegistry(ctx context.Context) (map[events.PackageKey]string, error)
	// ApplySetting brings one alternative, diversion or statoverride to what
	// c.After says.
	ApplySetting(ctx context.Context, c events.SettingChange) error
}

// Snapshots captures and restores one machine. It is safe for concurrent use.
type Snapshots struct {
	root    string
	blobs   *blobstore.Blobs
	machine DpkgSettings
}

// New returns a keeper of the machine under root.
func New(root string, v *blobstore.Blobs, m DpkgSettings) *Snapshots {
	if root == "" {
		root = "/"
	}
	return &Snapshots{root, v, m}
}

// regenerated are paths under /etc that programs write by themselves, from other
// state or at any time: they are no configuration that an undo could own.
var regenerated = map[string]bool{
	"/etc/ld.so.cache": true, "/etc/mtab": true, "/etc/.pwd.lock": true, "/etc/adjtime": true,
	"/etc/resolv.conf": true, "/etc/udev/hwdb.bin": true, "/etc/.updated": true,
}

// Accounts are the files that hold users and groups. They are captured and
// compared, and never written back: an account may own files by then.
var accountFiles = map[string]bool{
	"/etc/passwd": true, "/etc/group": true, "/etc/shadow": true, "/etc/gshadow": true, "/etc/subuid": true, "/etc/subgid": true,
	"/etc/passwd-": true, "/etc/group-": true, "/etc/shadow-": true, "/etc/gshadow-": true, "/etc/subuid-": true, "/etc/subgid-": true,
}

// IsAccountFile reports whether the path holds users and groups.
func IsAccountFile(p string) bool { return accountFiles[p] }

// IsAlternativeLink reports whether the path is a link that update-alternatives
// keeps: the alternative is restored, and the link with it.
func IsAlternativeLink(p string) bool { return strings.HasPrefix(p, "/etc/alternatives/") }

// Capture takes an image and keeps every content in it.
func (k *Snapshots) Capture(ctx context.Context) (Snapshot, error) {
	registry, err := k.machine.ConffileRegistry(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	img := Snapshot{Files: map[string]events.FileState{}}
	if err := k.captureTree("/etc", img.Files); err != nil {
		return Snapshot{}, err
	}
	for _, lines := range registry {
		for line := range strings.Lines(lines) {
			p := ConffilePath(line)
			if strings.HasPrefix(p, "/etc/") || events.ValidatePath(p) != nil {
				continue
			}
			for _, suffix := range []string{"", ".dpkg-old", ".dpkg-dist", ".dpkg-new"} {
				if err := k.captureInto(p+suffix, img.Files); err != nil {
					return Snapshot{}, err
				}
			}
		}
	}
	img.Settings, err = k.readSettings(registry)
	return img, err
}

// ConffilePath is the path of a registry line "PATH HASH [obsolete]".
func ConffilePath(line string) string {
	line = strings.TrimSpace(line)
	line = strings.TrimSuffix(strings.TrimSuffix(line, " obsolete"), " remove-on-upgrade")
	if i := strings.LastIndexByte(line, ' '); i > 0 {
		return line[:i]
	}
	return ""
}

// Save keeps an image and names it.
func (k *Snapshots) Save(i Snapshot) (events.Digest, error) {
	b, err := i.encode()
	if err != nil {
		return "", err
	}
	return k.blobs.PutSecret(b) // the names of secret files are in it
}

// CaptureState captures the image and the packages and keeps both.
func (k *Snapshots) CaptureState(ctx context.Context, inventory func(context.Context) (events.Inventory, error)) (events.StateSnapshot, error) {
	inv, err := inventory(ctx)
	if err != nil {
		return events.StateSnapshot{}, err
	}
	img, err := k.Capture(ctx)
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
	image, err := k.Save(img)
	return events.StateSnapshot{Packages: packages, ConfState: image}, err
}

// Load gives an image back.
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
			return nil // gone while we looked
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
		return &events.Error{Op: "confstate.walk", Kind: events.KindOf(err), Subject: top, Err: err}
	}
	return nil
}

// captureInto adds one path to the image, when there is something.
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

// CaptureFile looks at one path and keeps its content.
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

// readBounded reads a file, up to one byte more than is kept.
func readBounded(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readUpTo(f, events.MaxStoredFileBytes+1)
}
