package hardware

import (
	"cmp"
	"compress/gzip"
	"io"
	"path"
	"slices"
	"strings"

	"cortex/events"
	"cortex/internal/debian"
	"cortex/internal/dep11"
)

// Limits of the catalogues that map hardware to packages.
const (
	maxCatalogBytes    = 512 << 20 // of one file, unpacked
	maxCatalogLine     = 1 << 20
	maxCatalogPatterns = 500_000
)

// PackagePattern is a package and a pattern of the hardware that the package supports.
type PackagePattern struct {
	Package events.PackageName
	Pattern string
	Source  string // the file that it comes from
}

// ModaliasCatalog is the content of the catalogues on this machine.
type ModaliasCatalog struct {
	Patterns    []PackagePattern
	FilesRead   []string
	FilesUnread []string // files that could not be read, as "PATH: REASON"
}

// ModaliasCatalog reads the catalogues of AppStream (DEP-11), the lists of isenkram, and the
// Modaliases fields in apt's package lists.
func (c *Collector) ModaliasCatalog() ModaliasCatalog {
	t, out := fileTree{c.cfg.FS}, ModaliasCatalog{}
	for _, dir := range []string{"var/lib/swcatalog/yaml", "var/lib/app-info/yaml", "usr/share/swcatalog/yaml"} {
		for _, name := range t.list(dir) {
			if strings.HasSuffix(name, ".yml.gz") || strings.HasSuffix(name, ".yml") {
				out.readFile(t, dir+"/"+name, parseDEP11)
			}
		}
	}
	for _, name := range t.list("var/lib/apt/lists") {
		p := "var/lib/apt/lists/" + name
		switch {
		case strings.HasSuffix(name, "_Packages"):
			out.readFile(t, p, parseModaliases)
		case strings.Contains(name, "_dep11_Components-") && (strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".gz")):
			out.readFile(t, p, parseDEP11)
		case strings.Contains(name, "_Packages."):
			out.FilesUnread = append(out.FilesUnread, "/"+p+": compressed package lists are not read (see Acquire::GzipIndexes in apt.conf)")
		}
	}
	if t.exists("usr/share/isenkram/modaliases") {
		out.readFile(t, "usr/share/isenkram/modaliases", parseModaliases)
	}
	for _, name := range t.list("usr/share/isenkram/modaliases.d") {
		out.readFile(t, "usr/share/isenkram/modaliases.d/"+name, parseModaliases)
	}
	return out
}

// readFile reads one file with the parser of its format.
func (c *ModaliasCatalog) readFile(t fileTree, p string, parse func(io.Reader, func(name, pattern string)) error) {
	fail := func(err error) { c.FilesUnread = append(c.FilesUnread, "/"+p+": "+errorText(err)) }
	f, err := t.fs.Open(p)
	if err != nil {
		fail(err)
		return
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(p, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			fail(err)
			return
		}
		r = z
	}
	err = parse(io.LimitReader(r, maxCatalogBytes), func(name, pattern string) {
		n := events.PackageName(name)
		if n.Validate() == nil && pattern != "" && len(pattern) <= maxTextBytes && len(c.Patterns) < maxCatalogPatterns {
			c.Patterns = append(c.Patterns, PackagePattern{n, sanitize(pattern), "/" + p})
		}
	})
	if err != nil {
		fail(err)
		return
	}
	c.FilesRead = append(c.FilesRead, "/"+p)
}

// parseModaliases reads stanzas with the fields Package and Modaliases. The form of
// Modaliases is MODULE(PATTERN, PATTERN), MODULE(PATTERN).
func parseModaliases(r io.Reader, use func(name, pattern string)) error {
	return debian.Stanzas(r, maxCatalogLine, []string{"Package", "Modaliases"}, func(fields map[string]string) {
		for part := range strings.SplitSeq(fields["Modaliases"], ")") {
			_, patterns, ok := strings.Cut(part, "(")
			if !ok {
				continue
			}
			for p := range strings.SplitSeq(patterns, ",") {
				use(fields["Package"], strings.TrimSpace(p))
			}
		}
	})
}

func parseDEP11(r io.Reader, use func(name, pattern string)) error {
	return dep11.Parse(r, func(c dep11.Component) {
		for _, p := range c.Modaliases {
			use(c.Package, p)
		}
	})
}

// aliasIndex finds the aliases that a pattern matches. It ignores case, because lists write
// hexadecimal digits in upper or lower case.
type aliasIndex struct {
	folded  []string   // sorted
	aliases []Modalias // in the same order
}

// foldAlias returns the text in upper case. It replaces / and \, which path.Match treats as a
// separator and an escape.
func foldAlias(s string) string {
	return strings.NewReplacer("/", "\x00", `\`, "\x01").Replace(strings.ToUpper(s))
}

func newAliasIndex(aliases []Modalias) aliasIndex {
	x := aliasIndex{aliases: slices.Clone(aliases)}
	slices.SortStableFunc(x.aliases, func(a, b Modalias) int { return cmp.Compare(foldAlias(a.Alias), foldAlias(b.Alias)) })
	for _, a := range x.aliases {
		x.folded = append(x.folded, foldAlias(a.Alias))
	}
	return x
}

// match returns the aliases that a pattern with *, ? and [a-z] matches as a whole. It tries
// only aliases with the literal prefix of the pattern.
func (x aliasIndex) match(pattern string) []Modalias {
	pattern = foldAlias(pattern)
	head := pattern
	if i := strings.IndexAny(pattern, "*?["); i >= 0 {
		head = pattern[:i]
	}
	from, _ := slices.BinarySearch(x.folded, head)
	var out []Modalias
	for i := from; i < len(x.folded) && strings.HasPrefix(x.folded[i], head); i++ {
		if ok, err := path.Match(pattern, x.folded[i]); ok && err == nil {
			out = append(out, x.aliases[i])
		}
	}
	return out
}

// isBroadPattern reports whether a pattern names no vendor, so that it matches a whole class
// of devices.
func isBroadPattern(pattern string) bool {
	_, rest, ok := strings.Cut(pattern, ":v")
	return ok && strings.HasPrefix(rest, "*")
}
