// Package manifest captures the package state of a machine as TOML and parses it again, to
// compare it with a machine or to import it. A manifest has the packages that are marked as
// manually installed, with their versions, the holds, and apt's sources, keys and
// preferences.
//
// It promises:
//   - [Parse] of the result of [Document.EncodeTOML] returns the same manifest.
//   - [Parse] refuses a text with an unknown or malformed entry as a whole.
//   - [Capture] leaves out files with passwords. It changes nothing and does not need root.
package manifest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"cortex/events"
)

// FormatVersion is the version of the TOML format.
const FormatVersion = 1

// Limits of a manifest.
const (
	MaxBytes     = 16 << 20 // of the TOML text
	MaxFileBytes = 1 << 20  // of one of apt's files
	maxFiles     = 500
)

// SystemInfo describes the machine that a manifest comes from. [Compare] ignores it.
type SystemInfo struct {
	Distribution string `toml:"distribution,omitempty" json:"distribution,omitempty"`
	Release      string `toml:"release,omitempty" json:"release,omitempty"`
	Architecture string `toml:"architecture,omitempty" json:"architecture,omitempty"`
}

// AptFile is one of apt's files: a source list, a key, or preferences.
type AptFile struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
}

// Document is a manifest: the current or the wanted state of a machine.
type Document struct {
	Machine  SystemInfo          `json:"machine"`
	Packages []events.PackageRef `json:"packages"` // sorted by name; Arch is empty for the native architecture
	Holds    []events.PackageRef `json:"holds,omitempty"`
	Files    []AptFile           `json:"files,omitempty"` // sorted by path

	// automatic are the installed packages that are marked as automatically installed.
	automatic map[string]events.Version
}

// tomlDocument is the form of a manifest in TOML.
type tomlDocument struct {
	Version  int               `toml:"version"`
	Hold     []string          `toml:"hold,multiline,omitempty"`
	Machine  SystemInfo        `toml:"machine,omitempty"`
	Packages map[string]string `toml:"packages"`
	Files    []tomlFile        `toml:"file,omitempty"`
}

type tomlFile struct {
	Path   string `toml:"path"`
	Text   string `toml:"text,multiline,omitempty"`
	Base64 string `toml:"base64,omitempty"`
}

// EncodeTOML returns the manifest as TOML.
func (m Document) EncodeTOML() ([]byte, error) {
	f := tomlDocument{Version: FormatVersion, Machine: m.Machine, Packages: map[string]string{}}
	for _, r := range m.Packages {
		v := string(r.Version)
		if v == "" {
			v = anyVersion
		}
		f.Packages[nameWithArch(r)] = v
	}
	for _, r := range m.Holds {
		f.Hold = append(f.Hold, nameWithArch(r))
	}
	for _, x := range m.Files {
		y := tomlFile{Path: x.Path}
		if isPlainText(x.Content) {
			y.Text = string(x.Content)
		} else {
			y.Base64 = base64.StdEncoding.EncodeToString(x.Content)
		}
		f.Files = append(f.Files, y)
	}
	var b bytes.Buffer
	b.WriteString("# A machine's packages, holds and sources; see 'cortex help config export'.\n")
	if err := toml.NewEncoder(&b).SetIndentTables(false).Encode(f); err != nil {
		return nil, fmt.Errorf("write the manifest: %w", err)
	}
	return b.Bytes(), nil
}

// anyVersion is the version of a package whose version does not matter.
const anyVersion = "*"

// isPlainText reports whether TOML keeps the text unchanged.
func isPlainText(b []byte) bool {
	return utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r == 0x7f })
}

// nameWithArch returns NAME or NAME:ARCH.
func nameWithArch(r events.PackageRef) string {
	r.Version = ""
	return r.String()
}

// Parse parses a manifest; subject is its name in errors. It fails with ErrUsage, and reports
// all faults at once. A fault of the TOML syntax has its line and column.
func Parse(subject string, text []byte) (Document, error) {
	fail := func(at string, err error) error {
		return &events.Error{Op: "manifest.Parse", Kind: events.ErrUsage, Subject: subject + at, Err: err}
	}
	if len(text) > MaxBytes {
		return Document{}, fail("", fmt.Errorf("the manifest is larger than %d bytes", MaxBytes))
	}
	var f tomlDocument
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&f); err != nil {
		return Document{}, errors.Join(decodeErrors(err, fail)...)
	}
	if f.Version != FormatVersion {
		return Document{}, fail("", fmt.Errorf("unsupported manifest version %d: this program reads version %d", f.Version, FormatVersion))
	}
	m := Document{Machine: f.Machine}
	var errs []error
	for _, k := range slices.Sorted(maps.Keys(f.Packages)) {
		r, err := parseNameWithArch(k)
		if v := f.Packages[k]; err == nil && v != anyVersion {
			r.Version = events.Version(v)
			err = r.Version.Validate()
		}
		if err != nil {
			errs = append(errs, fail(": packages", fmt.Errorf("%q: %w", k, err)))
		}
		m.Packages = append(m.Packages, r)
	}
	slices.Sort(f.Hold)
	for _, k := range slices.Compact(f.Hold) {
		r, err := parseNameWithArch(k)
		if err != nil {
			errs = append(errs, fail(": hold", fmt.Errorf("%q: %w", k, err)))
		}
		m.Holds = append(m.Holds, r)
	}
	if len(f.Files) > maxFiles {
		errs = append(errs, fail("", fmt.Errorf("the manifest has more than %d files", maxFiles)))
	}
	for _, x := range f.Files {
		file, err := x.decode()
		if err == nil && slices.ContainsFunc(m.Files, func(f AptFile) bool { return f.Path == file.Path }) {
			err = errors.New("the path occurs twice")
		}
		if err != nil {
			errs = append(errs, fail(": file", fmt.Errorf("%q: %w", x.Path, err)))
		}
		m.Files = append(m.Files, file)
	}
	if len(errs) > 0 {
		return Document{}, errors.Join(errs...)
	}
	if err := m.ImportRequest(false).Validate(); err != nil {
		return Document{}, fail("", err)
	}
	slices.SortFunc(m.Files, func(a, b AptFile) int { return strings.Compare(a.Path, b.Path) })
	return m, nil
}

// decodeErrors returns one error for each fault of the TOML, with its line and column.
func decodeErrors(err error, fail func(at string, err error) error) []error {
	var unknown *toml.StrictMissingError
	var wrong *toml.DecodeError
	at := func(d *toml.DecodeError) string {
		line, column := d.Position()
		return fmt.Sprintf(":%d:%d", line, column)
	}
	switch {
	case errors.As(err, &unknown):
		var errs []error
		for i := range unknown.Errors {
			d := &unknown.Errors[i]
			errs = append(errs, fail(at(d), fmt.Errorf("unknown key %q", strings.Join(d.Key(), "."))))
		}
		return errs
	case errors.As(err, &wrong):
		return []error{fail(at(wrong), errors.New(strings.TrimPrefix(wrong.Error(), "toml: ")))}
	}
	return []error{fail("", err)}
}

// parseNameWithArch parses NAME or NAME:ARCH.
func parseNameWithArch(s string) (events.PackageRef, error) {
	r, err := events.ParsePackageRef(s)
	if err == nil && r.Version != "" {
		err = errors.New("the key has a version: write it as the value")
	}
	var e *events.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return r, err
}

func (x tomlFile) decode() (AptFile, error) {
	f := AptFile{Path: x.Path, Content: []byte(x.Text)}
	if x.Base64 != "" {
		b, err := base64.StdEncoding.DecodeString(x.Base64)
		if err != nil || x.Text != "" {
			return f, errors.New("invalid content: use either text or valid base64")
		}
		f.Content = b
	}
	switch {
	case !isManifestPath(x.Path):
		return f, errors.New("not a source list, key or preferences file of apt")
	case len(f.Content) > MaxFileBytes:
		return f, fmt.Errorf("the content is larger than %d bytes", MaxFileBytes)
	}
	return f, nil
}

// isManifestPath reports whether a manifest may contain the file with this path.
func isManifestPath(p string) bool {
	if p != path.Clean(p) || strings.ContainsAny(p, "\x00\n") {
		return false
	}
	dir, base := path.Split(p)
	return dir == "/usr/share/keyrings/" && base != "" || events.ValidateAptPath(p) == nil
}

// ImportRequest returns the request to import the manifest. With anyVersion it has no
// versions.
func (m Document) ImportRequest(anyVersion bool) events.Manifest {
	w := events.Manifest{Packages: slices.Clone(m.Packages), Holds: m.Holds}
	for i := range w.Packages {
		if anyVersion {
			w.Packages[i].Version = ""
		}
	}
	return w
}

// ManifestFile returns the file with this path for an import request. Its content is empty when
// the manifest does not have it.
func (m Document) ManifestFile(path string) events.ManifestFile {
	if i := fileIndex(m.Files, path); i >= 0 {
		return events.ManifestFile{Path: path, Content: m.Files[i].Content}
	}
	return events.ManifestFile{Path: path}
}
