package events

import (
	"errors"
	"fmt"
	"strings"
)

// PackageName is a Debian package name (Debian Policy 5.6.1).
type PackageName string

// Architecture is a dpkg architecture such as amd64 or all.
type Architecture string

// Version is a Debian package version: [epoch:]upstream[-revision].
type Version string

const lowerDigits = "abcdefghijklmnopqrstuvwxyz0123456789"

// Validate reports whether n follows Debian Policy 5.6.1 (at least two of
// a-z 0-9 + . -, the first alphanumeric) and does not end in "-", which apt
// would read as "remove".
func (n PackageName) Validate() error {
	s := string(n)
	switch {
	case len(s) < 2:
		return errors.New("a package name has at least two characters")
	case len(s) > MaxPackageNameBytes:
		return fmt.Errorf("a package name has at most %d characters", MaxPackageNameBytes)
	case strings.HasPrefix(s, "-"):
		return errors.New("looks like an option, not a package name")
	case strings.ContainsAny(s, "/\\"):
		return errors.New("looks like a path, not a package name")
	case strings.ContainsAny(s, "*?[]{}"):
		return errors.New("looks like a pattern, not a package name")
	case !strings.ContainsRune(lowerDigits, rune(s[0])):
		return errors.New("a package name starts with a lower-case letter or a digit")
	case strings.Trim(s, lowerDigits+"+.-") != "" || strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune(lowerDigits+"+.-", r)
	}):
		return errors.New("a package name has only lower-case letters, digits, '+', '-' and '.'")
	case strings.HasSuffix(s, "-"):
		return errors.New("a trailing '-' is not part of a package name")
	}
	return nil
}

// Validate reports whether a could be a dpkg architecture.
func (a Architecture) Validate() error {
	s := string(a)
	if s == "" || len(s) > 32 || s[0] == '-' || strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune(lowerDigits+"-", r)
	}) {
		return errors.New("not an architecture name")
	}
	return nil
}

// Validate reports whether v is a version by deb-version(7): an optional
// numeric epoch, then an upstream part of alphanumerics and . + - ~ that
// starts with a digit or letter. dpkg itself only warns when the first
// character is not a digit, so that is accepted.
func (v Version) Validate() error {
	s := string(v)
	if s == "" || len(s) > MaxVersionBytes {
		return errors.New("not a version")
	}
	if epoch, rest, ok := strings.Cut(s, ":"); ok {
		if epoch == "" || len(epoch) > 9 || strings.Trim(epoch, "0123456789") != "" {
			return errors.New("a version's epoch is a number")
		}
		s = rest
	}
	if s == "" || !isAlphanumeric(rune(s[0])) || strings.ContainsFunc(s, func(r rune) bool {
		return !isAlphanumeric(r) && !strings.ContainsRune(".+-~:", r)
	}) {
		return errors.New("a version has letters, digits and '.', '+', '-', '~', and starts with a letter or digit")
	}
	return nil
}

func isAlphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// PackageRef names a package in the form that users type: NAME[:ARCH][=VERSION].
type PackageRef struct {
	Name    PackageName  `json:"name"`
	Arch    Architecture `json:"arch,omitempty"`
	Version Version      `json:"version,omitempty"`
}

// ParsePackageRef parses NAME[:ARCH][=VERSION]. It returns an ErrUsage error for text
// that apt would read as an option, a path, a pattern or a "remove" suffix.
func ParsePackageRef(s string) (PackageRef, error) {
	fail := func(err error) (PackageRef, error) {
		return PackageRef{}, &Error{
			Op: "events.ParsePackageRef", Kind: ErrUsage, Subject: fmt.Sprintf("%q", s), Err: err,
			Hint: "name packages as NAME, NAME:ARCH or NAME=VERSION",
		}
	}
	rest, version, hasVersion := strings.Cut(s, "=")
	name, arch, hasArch := strings.Cut(rest, ":")
	ref := PackageRef{Name: PackageName(name), Arch: Architecture(arch), Version: Version(version)}
	if err := ref.Name.Validate(); err != nil {
		return fail(err)
	}
	if hasArch {
		if err := ref.Arch.Validate(); err != nil {
			return fail(err)
		}
	}
	if hasVersion {
		if err := ref.Version.Validate(); err != nil {
			return fail(err)
		}
	}
	return ref, nil
}

// String is the inverse of [ParsePackageRef].
func (r PackageRef) String() string {
	s := string(r.Name)
	if r.Arch != "" {
		s += ":" + string(r.Arch)
	}
	if r.Version != "" {
		s += "=" + string(r.Version)
	}
	return s
}

// Validate checks every part that is set.
func (r PackageRef) Validate() error {
	_, err := ParsePackageRef(r.String())
	return err
}

// Want, ErrorFlag and Status are dpkg's three status fields of a package
// (dpkg-query(1), db:Status-*).
type (
	Want      string
	ErrorFlag string
	Status    string
)

// The values of dpkg's status fields.
const (
	WantUnknown   Want = "unknown"
	WantInstall   Want = "install"
	WantHold      Want = "hold"
	WantDeinstall Want = "deinstall"
	WantPurge     Want = "purge"

	FlagOK        ErrorFlag = "ok"
	FlagReinstreq ErrorFlag = "reinstreq"

	StatusNotInstalled    Status = "not-installed"
	StatusConfigFiles     Status = "config-files"
	StatusHalfInstalled   Status = "half-installed"
	StatusUnpacked        Status = "unpacked"
	StatusHalfConfigured  Status = "half-configured"
	StatusTriggersAwaited Status = "triggers-awaited"
	StatusTriggersPending Status = "triggers-pending"
	StatusInstalled       Status = "installed"
)

// PackageKey identifies a package on one machine.
type PackageKey struct {
	Name PackageName  `json:"name"`
	Arch Architecture `json:"arch"`
}

// String is NAME:ARCH.
func (k PackageKey) String() string { return string(k.Name) + ":" + string(k.Arch) }

// State is the state of one package in the databases of dpkg and apt. The zero State
// means that the machine does not know the package.
type State struct {
	Version Version   `json:"version,omitempty"` // "" when no version is installed
	Want    Want      `json:"want"`
	Flag    ErrorFlag `json:"flag"`
	Status  Status    `json:"status"`
	Auto    bool      `json:"auto,omitempty"` // installed automatically (apt's mark)
}

// Known reports whether the machine knows the package.
func (s State) Known() bool { return s != State{} }

// Installed reports whether the package is fully installed.
func (s State) Installed() bool { return s.Status == StatusInstalled }

// Held reports whether the package is held.
func (s State) Held() bool { return s.Want == WantHold }

// Package is one package with its state.
type Package struct {
	PackageKey
	State
}

// PackageChange is one package's state before and after a change. The zero State means
// that the machine does not know the package.
type PackageChange struct {
	PackageKey
	Before State `json:"before"`
	After  State `json:"after"`
}

// String returns the change in dpkg's terms, for logs and tests.
func (c PackageChange) String() string {
	return fmt.Sprintf("%s %s→%s", c.PackageKey, c.Before, c.After)
}

// String is "want flag status version [auto]", or "-" for the zero State.
func (s State) String() string {
	if !s.Known() {
		return "-"
	}
	out := fmt.Sprintf("%s %s %s %s", s.Want, s.Flag, s.Status, s.Version)
	if s.Auto {
		out += " auto"
	}
	return out
}
