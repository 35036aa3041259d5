// Package manifest writes down what a machine is – the packages that were asked
// for with their versions, the holds, the repositories with their keys – and reads
// such a text back, to be compared with a machine or asked of one.
//
// It promises: a text that is written reads back as the same manifest; a text with
// anything unknown or malformed in it is refused as a whole; nothing is written
// that holds a password; reading a machine changes nothing and needs no root.
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

// FormatVersion is the version of the form of the text.
const FormatVersion = 1

// Limits of a manifest.
const (
	MaxBytes     = 16 << 20 // of the text
	MaxFileBytes = 1 << 20  // of one file of apt
	maxFiles     = 500
)

// SystemInfo tells where a manifest comes from. It is for people; nothing is compared.
type SystemInfo struct {
	Distribution string `toml:"distribution,omitempty" json:"distribution,omitempty"`
	Release      string `toml:"release,omitempty" json:"release,omitempty"`
	Architecture string `toml:"architecture,omitempty" json:"architecture,omitempty"`
}

// AptFile is one file of apt's: a list of sources, a key, preferences.
type AptFile struct {
	Path    string `json:"path"`
	Content []byte `json:"content"`
}

// Document is a machine, as it is or as it shall be.
type Document struct {
	Machine  SystemInfo          `json:"machine"`
	Packages []events.PackageRef `json:"packages"` // by name; the native architecture is left out
	Holds    []events.PackageRef `json:"holds,omitempty"`
	Files    []AptFile           `json:"files,omitempty"` // by path

	// automatic are the packages that are there, but only because others need them.
	automatic map[string]events.Version
}

// tomlDocument is the text's.
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

// EncodeTOML writes the manifest as TOML.
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
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return b.Bytes(), nil
}

// anyVersion stands where no version matters.
const anyVersion = "*"

// isPlainText reports whether content is text that TOML keeps as it is.
func isPlainText(b []byte) bool {
	return utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r == 0x7f })
}

// nameWithArch is NAME or NAME:ARCH.
func nameWithArch(r events.PackageRef) string {
	r.Version = ""
	return r.String()
}

// Parse reads the text of a manifest; subject names it in errors. What is wrong is
// an ErrUsage error, all of it at once; of TOML itself with line and column.
func Parse(subject string, text []byte) (Document, error) {
	fail := func(at string, err error) error {
		return &events.Error{Op: "manifest.Parse", Kind: events.ErrUsage, Subject: subject + at, Err: err}
	}
	if len(text) > MaxBytes {
		return Document{}, fail("", fmt.Errorf("is larger than %d bytes", MaxBytes))
	}
	var f tomlDocument
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&f); err != nil {
		return Document{}, errors.Join(decodeErrors(err, fail)...)
	}
	if f.Version != FormatVersion {
		return Document{}, fail("", fmt.Errorf("its version is %d, and only %d is known", f.Version, FormatVersion))
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
		errs = append(errs, fail("", fmt.Errorf("has more than %d files", maxFiles)))
	}
	for _, x := range f.Files {
		file, err := x.decode()
		if err == nil && slices.ContainsFunc(m.Files, func(f AptFile) bool { return f.Path == file.Path }) {
			err = errors.New("is there twice")
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

// decodeErrors gives each fault of the TOML its place.
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
			errs = append(errs, fail(at(d), fmt.Errorf("there is no %q in a manifest", strings.Join(d.Key(), "."))))
		}
		return errs
	case errors.As(err, &wrong):
		return []error{fail(at(wrong), errors.New(strings.TrimPrefix(wrong.Error(), "toml: ")))}
	}
	return []error{fail("", err)}
}

// parseNameWithArch reads NAME or NAME:ARCH.
func parseNameWithArch(s string) (events.PackageRef, error) {
	r, err := events.ParsePackageRef(s)
	if err == nil && r.Version != "" {
		err = errors.New("the version is the value, not part of the name")
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
			return f, errors.New("has either a text or base64")
		}
		f.Content = b
	}
	switch {
	case !isManifestPath(x.Path):
		return f, errors.New("is not a file of apt's sources, keys or preferences")
	case len(f.Content) > MaxFileBytes:
		return f, fmt.Errorf("is larger than %d bytes", MaxFileBytes)
	}
	return f, nil
}

// isManifestPath reports whether a path is one that manifests are about.
func isManifestPath(p string) bool {
	if p != path.Clean(p) || strings.ContainsAny(p, "\x00\n") {
		return false
	}
	dir, base := path.Split(p)
	return dir == "/usr/share/keyrings/" && base != "" || events.ValidateAptPath(p) == nil
}

// ImportRequest is what an import asks for; without versions when any will do.
func (m Document) ImportRequest(anyVersion bool) events.Manifest {
	w := events.Manifest{Packages: slices.Clone(m.Packages), Holds: m.Holds}
	for i := range w.Packages {
		if anyVersion {
			w.Packages[i].Version = ""
		}
	}
	return w
}

// ManifestFile is one of the files, to be asked for; an empty one when there is none.
func (m Document) ManifestFile(path string) events.ManifestFile {
	if i := fileIndex(m.Files, path); i >= 0 {
		return events.ManifestFile{Path: path, Content: m.Files[i].Content}
	}
	return events.ManifestFile{Path: path}
}
