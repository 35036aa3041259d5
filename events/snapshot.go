package events

import (
	"errors"
	"path"
	"strings"
)

// Digest names a content in the vault: 64 hex digits. It is the SHA-256 of the
// content, or for a secret one a keyed hash of it that tells nothing without the
// vault's key.
type Digest string

// Validate reports whether d could name a content.
func (d Digest) Validate() error {
	if len(d) != 64 || strings.Trim(string(d), "0123456789abcdef") != "" {
		return errors.New("not a digest")
	}
	return nil
}

// FileKind tells what a path is.
type FileKind string

// The kinds of file. The zero kind means that nothing is there.
const (
	FileAbsent  FileKind = ""
	FileRegular FileKind = "file"
	FileDir     FileKind = "dir"
	FileLink    FileKind = "symlink"
	FileOther   FileKind = "other" // devices, sockets, pipes: seen, never restored
)

// FileState is everything that is restored of one path. The zero FileState means
// that nothing is there.
type FileState struct {
	Kind      FileKind `json:"kind,omitempty"`
	Mode      uint32   `json:"mode,omitempty"` // permission bits with setuid, setgid and sticky, as in chmod(2)
	UID       int      `json:"uid,omitempty"`
	GID       int      `json:"gid,omitempty"`
	Size      int64    `json:"size_b,omitempty"`
	Digest    Digest   `json:"digest,omitempty"` // of a regular file's content
	Secret    bool     `json:"secret,omitempty"` // not readable by everybody: kept encrypted
	Link      string   `json:"link,omitempty"`   // where a symlink points
	NotStored bool     `json:"unkept,omitempty"` // too large to keep: seen, cannot be restored
}

// Exists reports whether something is at the path.
func (s FileState) Exists() bool { return s.Kind != FileAbsent }

// FileChange is one path before and after something happened. In a step it is
// what the path is when the plan is made and what it shall be.
type FileChange struct {
	Path   string    `json:"path"`
	Before FileState `json:"before,omitzero"`
	After  FileState `json:"after,omitzero"`
}

// SettingKind tells which of Debian's small databases a setting lives in.
type SettingKind string

// The kinds of setting.
const (
	SettingDebconf     SettingKind = "debconf"     // name: the question; value: its item in config.dat's words
	SettingAlternative SettingKind = "alternative" // name: the link group; value: "auto" or "manual PATH"
	SettingDiversion   SettingKind = "diversion"   // name: the path; value: "DIVERT-TO PACKAGE"
	SettingOverride    SettingKind = "statoverride"
	SettingConffiles   SettingKind = "conffiles" // name: the package; value: dpkg's registry of its configuration files
)

// SettingChange is one setting before and after. "" means that there is none.
type SettingChange struct {
	Kind   SettingKind `json:"kind"`
	Name   string      `json:"name"`
	Before string      `json:"before,omitempty"`
	After  string      `json:"after,omitempty"`
}

// SecretValuePrefix begins the value of a setting whose content is in the vault; the
// digest follows.
const SecretValuePrefix = "secret "

// SecretDigest gives the digest in a setting's value whose content is in the vault.
func SecretDigest(value string) (Digest, bool) {
	d, ok := strings.CutPrefix(value, SecretValuePrefix)
	return Digest(d), ok
}

// Display is a setting's value in one line for people: secrets masked, debconf's item
// as its value.
func (k SettingKind) Display(value string) string {
	switch {
	case value == "":
		return "none"
	case strings.HasPrefix(value, SecretValuePrefix):
		return "a secret"
	case k == SettingDebconf:
		for line := range strings.Lines(value) {
			if v, ok := strings.CutPrefix(line, "Value: "); ok {
				return strings.TrimSuffix(v, "\n")
			}
		}
		return "no value"
	}
	return strings.ReplaceAll(strings.TrimSpace(value), "\n", ", ")
}

// Deb is one package file that the vault keeps.
type Deb struct {
	PackageKey
	Version Version `json:"version"`
	Digest  Digest  `json:"digest"`
	Size    int64   `json:"size_b"`
}

// ValidatePath reports whether p is a path that may be captured and restored:
// absolute, clean, below the root, without control characters.
func ValidatePath(p string) error {
	switch {
	case !path.IsAbs(p) || path.Clean(p) != p || p == "/":
		return errors.New("not a clean absolute path")
	case len(p) > MaxPathBytes:
		return errors.New("the path is too long")
	case strings.ContainsFunc(p, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("the path has control characters")
	}
	return nil
}

// Effects is what a transaction or an observation did to a machine: the
// difference of two looks at it, never what was planned.
type Effects struct {
	Changes  []PackageChange
	Files    []FileChange
	Settings []SettingChange
}

// Empty reports whether nothing is different.
func (e Effects) Empty() bool { return len(e.Changes)+len(e.Files)+len(e.Settings) == 0 }

// EffectsOf gives what a fact records as done, the zero Effects for facts that
// record nothing of the kind.
func EffectsOf(f Fact) Effects {
	e := Effects{Changes: ChangesOf(f)}
	switch f := f.(type) {
	case *Succeeded:
		e.Files, e.Settings = f.Files, f.Settings
	case *Failed:
		e.Files, e.Settings = f.Files, f.Settings
	case *Interrupted:
		e.Files, e.Settings = f.Files, f.Settings
	case *Observed:
		e.Files, e.Settings = f.Files, f.Settings
	default:
	}
	return e
}
