package events

import (
	"errors"
	"path"
	"strings"
)

// Digest is the address of a content in the blob store: 64 hex digits. It is the
// SHA-256 of the content. For secret content it is a keyed hash, which reveals nothing
// without the store's key.
type Digest string

// Validate reports whether d could name a content.
func (d Digest) Validate() error {
	if len(d) != 64 || strings.Trim(string(d), "0123456789abcdef") != "" {
		return errors.New("not a digest")
	}
	return nil
}

// FileKind is the type of a file.
type FileKind string

// The kinds of file. The zero kind means that the path does not exist.
const (
	FileAbsent  FileKind = ""
	FileRegular FileKind = "file"
	FileDir     FileKind = "dir"
	FileLink    FileKind = "symlink"
	FileOther   FileKind = "other" // devices, sockets, pipes: recorded, never restored
)

// FileState is the restorable state of one path. The zero FileState means that the path
// does not exist.
type FileState struct {
	Kind      FileKind `json:"kind,omitempty"`
	Mode      uint32   `json:"mode,omitempty"` // permission bits with setuid, setgid and sticky, as in chmod(2)
	UID       int      `json:"uid,omitempty"`
	GID       int      `json:"gid,omitempty"`
	Size      int64    `json:"size_b,omitempty"`
	Digest    Digest   `json:"digest,omitempty"` // of a regular file's content
	Secret    bool     `json:"secret,omitempty"` // not readable by all users: stored encrypted
	Link      string   `json:"link,omitempty"`   // the target of a symlink
	NotStored bool     `json:"unkept,omitempty"` // too large to store: recorded, cannot be restored
}

// Exists reports whether the path exists.
func (s FileState) Exists() bool { return s.Kind != FileAbsent }

// FileChange is the state of one path before and after a change. In a step, Before is
// the state at planning time and After the desired state.
type FileChange struct {
	Path   string    `json:"path"`
	Before FileState `json:"before,omitzero"`
	After  FileState `json:"after,omitzero"`
}

// SettingKind is the Debian database that holds a setting.
type SettingKind string

// The kinds of setting.
const (
	SettingDebconf     SettingKind = "debconf"     // name: the question; value: its item in the format of config.dat
	SettingAlternative SettingKind = "alternative" // name: the link group; value: "auto" or "manual PATH"
	SettingDiversion   SettingKind = "diversion"   // name: the path; value: "DIVERT-TO PACKAGE"
	SettingOverride    SettingKind = "statoverride"
	SettingConffiles   SettingKind = "conffiles" // name: the package; value: dpkg's registry of its configuration files
)

// SettingChange is one setting before and after a change. "" means that it does not
// exist.
type SettingChange struct {
	Kind   SettingKind `json:"kind"`
	Name   string      `json:"name"`
	Before string      `json:"before,omitempty"`
	After  string      `json:"after,omitempty"`
}

// SecretValuePrefix begins the value of a setting whose content is in the blob store;
// the digest follows.
const SecretValuePrefix = "secret "

// SecretDigest returns the digest of a value that begins with [SecretValuePrefix].
func SecretDigest(value string) (Digest, bool) {
	d, ok := strings.CutPrefix(value, SecretValuePrefix)
	return Digest(d), ok
}

// Display returns a setting's value on one line for people: secrets are masked, and a
// debconf item is shown as its value.
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

// Deb is one package file in the blob store.
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

// Effects are the changes that a transaction or an observation made: the difference of
// the machine's state before and after, never the plan.
type Effects struct {
	Changes  []PackageChange
	Files    []FileChange
	Settings []SettingChange
}

// Empty reports whether nothing changed.
func (e Effects) Empty() bool { return len(e.Changes)+len(e.Files)+len(e.Settings) == 0 }

// EffectsOf returns the effects that a fact records, the zero Effects for facts that
// record none.
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
