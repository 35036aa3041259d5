package testbed

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/md5" // the format of a .deb's md5sums
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// toyPackage is one version of a package of the toy repository.
type toyPackage struct {
	Name, Version, Arch string // Arch "" is amd64
	Short               string // first line of the description; "" is "a toy package"
	Fields              string // additional lines of the control file
	Files               map[string]string
	Conffiles           []string
	Preinst, Postinst   string // bodies of shell scripts
	Prerm, Postrm       string
	Config, Templates   string // for debconf
	Triggers            string
}

func (p toyPackage) arch() string {
	if p.Arch == "" {
		return "amd64"
	}
	return p.Arch
}

// fileName returns the file name in the repository.
func (p toyPackage) fileName() string {
	return p.Name + "_" + strings.ReplaceAll(p.Version, ":", "%3a") + "_" + p.arch() + ".deb"
}

func (p toyPackage) control() string {
	size := 1
	for _, content := range p.Files {
		size += len(content)/1024 + 1
	}
	c := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Toys <toys@example.org>\nInstalled-Size: %d\nSection: misc\nPriority: optional\n",
		p.Name, p.Version, p.arch(), size)
	return c + p.Fields + "Description: " + cmp.Or(p.Short, "a toy package") + "\n made to be difficult\n"
}

// repoFile is a file of the repository.
type repoFile struct {
	name string
	data []byte
}

// builtDebs is every .deb of the toy repository by file name, built once per process.
var builtDebs = sync.OnceValues(func() (map[string][]byte, error) {
	debs := map[string][]byte{}
	for _, p := range toyPackages() {
		data, err := p.build()
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", p.fileName(), err)
		}
		debs[p.fileName()] = data
	}
	return debs, nil
})

// repository returns every .deb and an index of all.
func repository() ([]repoFile, error) {
	debs, err := builtDebs()
	if err != nil {
		return nil, err
	}
	var files []repoFile
	for _, name := range sortedKeys(debs) {
		files = append(files, repoFile{name, debs[name]})
	}
	lists, err := indexFiles(toyPackages())
	return append(files, lists...), err
}

// indexFiles returns the Packages and Release files that offer some of the packages.
func indexFiles(offered []toyPackage) ([]repoFile, error) {
	debs, err := builtDebs()
	if err != nil {
		return nil, err
	}
	var list bytes.Buffer
	for _, p := range offered {
		data := debs[p.fileName()]
		control, description, _ := strings.Cut(p.control(), "Description:")
		fmt.Fprintf(&list, "%sFilename: ./%s\nSize: %d\nSHA256: %s\nDescription:%s\n", control, p.fileName(), len(data), digest(data), description)
	}
	release := fmt.Sprintf("Origin: Toys\nLabel: Toys\nSuite: toys\nCodename: toys\nVersion: 1\nArchitectures: amd64 i386 all\nDate: %s\nSHA256:\n %s %d Packages\n",
		epoch.Format(time.RFC1123), digest(list.Bytes()), list.Len())
	return []repoFile{{"Packages", list.Bytes()}, {"Release", []byte(release)}}, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// epoch is the timestamp of every file in the repository.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// build returns the package in the format of deb(5): an ar archive of the format's
// version, the control files and the data.
func (p toyPackage) build() ([]byte, error) {
	control := map[string]tarEntry{"./control": {p.control(), 0o644}}
	var sums strings.Builder
	data := map[string]tarEntry{}
	for _, name := range sortedKeys(p.Files) {
		content := p.Files[name]
		mode := int64(0o644)
		if strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		data["."+name] = tarEntry{content, mode}
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum([]byte(content)), name[1:])
	}
	control["./md5sums"] = tarEntry{sums.String(), 0o644}
	if len(p.Conffiles) > 0 {
		control["./conffiles"] = tarEntry{strings.Join(p.Conffiles, "\n") + "\n", 0o644}
	}
	for name, content := range map[string]string{"triggers": p.Triggers, "templates": p.Templates} {
		if content != "" {
			control["./"+name] = tarEntry{content, 0o644}
		}
	}
	for name, body := range map[string]string{"preinst": p.Preinst, "postinst": p.Postinst, "prerm": p.Prerm, "postrm": p.Postrm, "config": p.Config} {
		if body != "" {
			control["./"+name] = tarEntry{"#!/bin/sh\nset -e\n" + body + "\n", 0o755}
		}
	}
	controlTar, err := tarball(control)
	if err != nil {
		return nil, err
	}
	dataTar, err := tarball(data)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("!<arch>\n")
	for _, member := range []repoFile{{"debian-binary", []byte("2.0\n")}, {"control.tar.gz", controlTar}, {"data.tar.gz", dataTar}} {
		fmt.Fprintf(&out, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", member.name, epoch.Unix(), 0, 0, 0o100644, len(member.data))
		out.Write(member.data)
		if len(member.data)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes(), nil
}

type tarEntry struct {
	content string
	mode    int64
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// tarball returns an archive of files and their parent directories.
func tarball(files map[string]tarEntry) ([]byte, error) {
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	archive := tar.NewWriter(zip)
	made := map[string]bool{}
	directory := func(name string) error {
		if made[name] {
			return nil
		}
		made[name] = true
		return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: epoch, Format: tar.FormatGNU})
	}
	for _, name := range sortedKeys(files) {
		var above []string
		for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
			above = append([]string{"./" + strings.TrimPrefix(dir, "./")}, above...)
		}
		for _, dir := range append([]string{"."}, above...) {
			if err := directory(dir); err != nil {
				return nil, err
			}
		}
		e := files[name]
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(e.content)), Mode: e.mode, ModTime: epoch, Format: tar.FormatGNU}); err != nil {
			return nil, err
		}
		if _, err := archive.Write([]byte(e.content)); err != nil {
			return nil, err
		}
	}
	if len(files) == 0 {
		if err := directory("."); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
