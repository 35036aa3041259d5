package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"cortex/events"
)

// Capture returns the manifest of the machine under root: its packages from the inventory, and
// apt's files. native is the native architecture. notes has the reason for each file that is
// left out.
func Capture(root string, inv events.Inventory, native events.Architecture) (m Document, notes []string, err error) {
	m = Document{Machine: readSystemInfo(root, native), Packages: []events.PackageRef{}, automatic: map[string]events.Version{}}
	for k, st := range inv {
		r := events.PackageRef{Name: k.Name, Arch: k.Arch}
		if k.Arch == native {
			r.Arch = ""
		}
		if st.Held() {
			m.Holds = append(m.Holds, r)
		}
		if !st.Installed() {
			continue
		}
		r.Version = st.Version
		if st.Auto {
			m.automatic[nameWithArch(r)] = st.Version
			continue
		}
		m.Packages = append(m.Packages, r)
	}
	byName := func(a, b events.PackageRef) int { return strings.Compare(nameWithArch(a), nameWithArch(b)) }
	slices.SortFunc(m.Packages, byName)
	slices.SortFunc(m.Holds, byName)
	m.Files, notes, err = readAptFiles(root)
	return m, notes, err
}

// readSystemInfo reads os-release.
func readSystemInfo(root string, native events.Architecture) SystemInfo {
	m := SystemInfo{Architecture: string(native)}
	b, err := os.ReadFile(filepath.Join(root, "etc/os-release"))
	if err != nil {
		return m // the information is optional
	}
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.Trim(value, `"'`); key {
		case "ID":
			m.Distribution = value
		case "VERSION_ID":
			m.Release = value
		}
	}
	return m
}

// readAptFiles reads apt's sources and preferences, and the keys that no package owns.
func readAptFiles(root string) (out []AptFile, notes []string, err error) {
	paths := []string{"/etc/apt/sources.list", "/etc/apt/preferences"}
	var keys []string
	for dir, into := range map[string]*[]string{
		"/etc/apt/sources.list.d": &paths, "/etc/apt/preferences.d": &paths, "/etc/apt/keyrings": &keys, "/etc/apt/trusted.gpg.d": &keys,
	} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, readError(dir, err)
		}
		for _, e := range entries {
			if p := dir + "/" + e.Name(); isReadByApt(p) {
				*into = append(*into, p)
			}
		}
	}
	for _, p := range paths {
		b, err := readIfRegular(root, p)
		switch {
		case err != nil:
			return nil, nil, err
		case b == nil:
		case containsPassword(b):
			notes = append(notes, p+" is left out: it contains a password; store passwords in /etc/apt/auth.conf.d")
		default:
			out = append(out, AptFile{p, b})
			keys = append(keys, signedByPaths(b)...)
		}
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	owned, err := packageOwned(root, keys)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range keys {
		if owned[p] {
			continue
		}
		b, err := readIfRegular(root, p)
		if err != nil {
			return nil, nil, err
		}
		if b != nil {
			out = append(out, AptFile{p, b})
		}
	}
	slices.SortFunc(out, func(a, b AptFile) int { return strings.Compare(a.Path, b.Path) })
	slices.Sort(notes)
	return out, notes, nil
}

// isReadByApt reports whether apt reads a file of this name.
func isReadByApt(p string) bool {
	dir, base := filepath.Split(p)
	if strings.HasPrefix(base, ".") {
		return false
	}
	ext := filepath.Ext(base)
	switch dir {
	case "/etc/apt/sources.list.d/":
		return ext == ".list" || ext == ".sources"
	case "/etc/apt/preferences.d/":
		return ext == "" || ext == ".pref"
	}
	return ext == ".gpg" || ext == ".asc"
}

// containsPassword reports whether a URL in a source list has a password.
func containsPassword(list []byte) bool {
	return regexp.MustCompile(`://[^/@\s]*:[^/@\s]*@`).Match(list)
}

// signedByPaths returns the key files that a source list names.
func signedByPaths(list []byte) []string {
	keyPath := regexp.MustCompile(`(?i)signed-by\s*[=:]\s*(/[^\s,\]]+(?:[,\s]+/[^\s,\]]+)*)`)
	var out []string
	for _, found := range keyPath.FindAllSubmatch(list, -1) {
		for _, p := range strings.FieldsFunc(string(found[1]), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' }) {
			if isManifestPath(p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// packageOwned returns the paths that belong to a package.
func packageOwned(root string, paths []string) (map[string]bool, error) {
	out := map[string]bool{}
	if len(paths) == 0 {
		return out, nil
	}
	lists, err := filepath.Glob(filepath.Join(root, "var/lib/dpkg/info/*.list"))
	if err != nil {
		return nil, err
	}
	for _, l := range lists {
		b, err := os.ReadFile(l)
		if err != nil {
			return nil, readError(l, err)
		}
		for line := range strings.Lines(string(b)) {
			if line = strings.TrimSuffix(line, "\n"); slices.Contains(paths, line) {
				out[line] = true
			}
		}
	}
	return out, nil
}

// readIfRegular returns the content of a regular file, and nil when there is no such file.
func readIfRegular(root, p string) ([]byte, error) {
	full := filepath.Join(root, p)
	info, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, readError(p, err)
	case !info.Mode().IsRegular():
		return nil, nil
	case info.Size() > MaxFileBytes:
		return nil, &events.Error{Op: "manifest.Capture", Kind: events.ErrUsage, Subject: p, Err: fmt.Errorf("the file is larger than %d bytes", MaxFileBytes)}
	}
	b, err := os.ReadFile(full)
	if err != nil {
		return nil, readError(p, err)
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

func readError(p string, err error) error {
	e := &events.Error{Op: "manifest.Capture", Kind: events.ErrUnavailable, Subject: p, Err: err}
	if errors.Is(err, fs.ErrPermission) {
		e.Kind, e.Hint = events.ErrConfirmation, "run the command with sudo"
	}
	return e
}
