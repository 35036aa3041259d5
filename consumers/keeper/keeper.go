// Package keeper captures the part of a machine's state that dpkg's package
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
package keeper

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

	"cortex/consumers/vault"
	"cortex/events"
)

// Machine is what the keeper needs of dpkg.
type Machine interface {
	// Registry gives dpkg's registry of configuration files for every package
	// that has some: lines "PATH HASH [obsolete]".
	Registry(ctx context.Context) (map[events.PackageKey]string, error)
	// Configure brings one alternative, diversion or statoverride to what
	// c.After says.
	Configure(ctx context.Context, c events.SettingChange) error
}

// Keeper captures and restores one machine. It is safe for concurrent use.
type Keeper struct {
	root    string
	vault   *vault.Vault
	machine Machine
}

// New returns a keeper of the machine under root.
func New(root string, v *vault.Vault, m Machine) *Keeper {
	if root == "" {
		root = "/"
	}
	return &Keeper{root, v, m}
}

// derived are paths under /etc that programs write by themselves, from other
// state or at any time: they are no configuration that an undo could own.
var derived = map[string]bool{
	"/etc/ld.so.cache": true, "/etc/mtab": true, "/etc/.pwd.lock": true, "/etc/adjtime": true,
	"/etc/resolv.conf": true, "/etc/udev/hwdb.bin": true, "/etc/.updated": true,
}

// Accounts are the files that hold users and groups. They are captured and
// compared, and never written back: an account may own files by then.
var accounts = map[string]bool{
	"/etc/passwd": true, "/etc/group": true, "/etc/shadow": true, "/etc/gshadow": true, "/etc/subuid": true, "/etc/subgid": true,
	"/etc/passwd-": true, "/etc/group-": true, "/etc/shadow-": true, "/etc/gshadow-": true, "/etc/subuid-": true, "/etc/subgid-": true,
}

// IsAccounts reports whether the path holds users and groups.
func IsAccounts(p string) bool { return accounts[p] }

// IsAlternativeLink reports whether the path is a link that update-alternatives
// keeps: the alternative is restored, and the link with it.
func IsAlternativeLink(p string) bool { return strings.HasPrefix(p, "/etc/alternatives/") }

// Capture takes an image and keeps every content in it.
func (k *Keeper) Capture(ctx context.Context) (Image, error) {
	registry, err := k.machine.Registry(ctx)
	if err != nil {
		return Image{}, err
	}
	img := Image{Files: map[string]events.FileState{}}
	if err := k.walk("/etc", img.Files); err != nil {
		return Image{}, err
	}
	for _, lines := range registry {
		for line := range strings.Lines(lines) {
			p := ConffilePath(line)
			if strings.HasPrefix(p, "/etc/") || events.ValidatePath(p) != nil {
				continue
			}
			for _, suffix := range []string{"", ".dpkg-old", ".dpkg-dist", ".dpkg-new"} {
				if err := k.look(p+suffix, img.Files); err != nil {
					return Image{}, err
				}
			}
		}
	}
	img.Settings, err = k.settings(registry)
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
func (k *Keeper) Save(i Image) (events.Digest, error) {
	b, err := i.encode()
	if err != nil {
		return "", err
	}
	return k.vault.PutSecret(b) // the names of secret files are in it
}

// Look captures the image and the packages and keeps both.
func (k *Keeper) Look(ctx context.Context, inventory func(context.Context) (events.Inventory, error)) (events.Look, error) {
	inv, err := inventory(ctx)
	if err != nil {
		return events.Look{}, err
	}
	img, err := k.Capture(ctx)
	if err != nil {
		return events.Look{}, err
	}
	b, err := json.Marshal(inv.Packages())
	if err != nil {
		return events.Look{}, err
	}
	packages, err := k.vault.PutSecret(b)
	if err != nil {
		return events.Look{}, err
	}
	image, err := k.Save(img)
	return events.Look{Packages: packages, Image: image}, err
}

// Load gives an image back.
func (k *Keeper) Load(d events.Digest) (Image, error) {
	b, err := k.vault.Get(d, true)
	if err != nil {
		return Image{}, err
	}
	return decodeImage(b)
}

func (k *Keeper) outside(p string) string { return filepath.Join(k.root, p) }

func (k *Keeper) walk(top string, into map[string]events.FileState) error {
	err := filepath.WalkDir(k.outside(top), func(name string, d fs.DirEntry, err error) error {
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
		return k.look("/"+rel, into)
	})
	if err != nil {
		return &events.Error{Op: "keeper.walk", Kind: events.KindOf(err), Subject: top, Err: err}
	}
	return nil
}

// look adds one path to the image, when there is something.
func (k *Keeper) look(p string, into map[string]events.FileState) error {
	if derived[p] || events.ValidatePath(p) != nil || strings.HasPrefix(path.Base(p), tempPrefix) {
		return nil
	}
	s, err := k.State(p)
	if err != nil || !s.Exists() {
		return err
	}
	into[p] = s
	return nil
}

// State looks at one path and keeps its content.
func (k *Keeper) State(p string) (events.FileState, error) {
	name := k.outside(p)
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
		return k.keepContent(name, s)
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

func (k *Keeper) keepContent(name string, s events.FileState) (events.FileState, error) {
	b, err := readSome(name)
	if errors.Is(err, fs.ErrNotExist) {
		return events.FileState{}, nil
	}
	if err != nil {
		return s, err
	}
	s.Size = int64(len(b))
	if s.Size > events.MaxKeptFileBytes {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s.Size, s.Unkept = info.Size(), true
		return s, nil
	}
	s.Secret = s.Mode&0o004 == 0
	if s.Secret {
		s.Digest, err = k.vault.PutSecret(b)
	} else {
		s.Digest, err = k.vault.Put(b)
	}
	return s, err
}

// readSome reads a file, up to one byte more than is kept.
func readSome(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readUpTo(f, events.MaxKeptFileBytes+1)
}
