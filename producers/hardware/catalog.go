package hardware

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"io"
	"path"
	"slices"
	"strings"

	"cortex/events"
)

// Limits on catalogues of which package serves which hardware.
const (
	maxCatalogBytes    = 512 << 20 // of one file, unpacked
	maxCatalogLine     = 1 << 20
	maxCatalogPatterns = 500_000
)

// Served says that a package serves the hardware that a pattern matches.
type Served struct {
	Package events.PackageName
	Pattern string
	Source  string // the file that says so
}

// Catalog is what the machine's own files say about packages and hardware.
type Catalog struct {
	Served []Served
	Read   []string // the files it comes from
	Unread []string // files that could not be read, and why
}

// Catalog reads what there is: AppStream's catalogues (DEP-11), isenkram's list,
// and the Modaliases fields in apt's package lists.
func (c *Collector) Catalog() Catalog {
	t, out := tree{c.cfg.FS}, Catalog{}
	for _, dir := range []string{"var/lib/swcatalog/yaml", "var/lib/app-info/yaml", "usr/share/swcatalog/yaml"} {
		for _, name := range t.list(dir) {
			if strings.HasSuffix(name, ".yml.gz") || strings.HasSuffix(name, ".yml") {
				out.take(t, dir+"/"+name, parseDEP11)
			}
		}
	}
	for _, name := range t.list("var/lib/apt/lists") {
		p := "var/lib/apt/lists/" + name
		switch {
		case strings.HasSuffix(name, "_Packages"):
			out.take(t, p, parseModaliases)
		case strings.Contains(name, "_dep11_Components-") && (strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".gz")):
			out.take(t, p, parseDEP11)
		case strings.Contains(name, "_Packages."):
			out.Unread = append(out.Unread, "/"+p+": it is compressed, as apt was told to keep it")
		}
	}
	if t.has("usr/share/isenkram/modaliases") {
		out.take(t, "usr/share/isenkram/modaliases", parseModaliases)
	}
	for _, name := range t.list("usr/share/isenkram/modaliases.d") {
		out.take(t, "usr/share/isenkram/modaliases.d/"+name, parseModaliases)
	}
	return out
}

// take reads one file with the parser of its format.
func (c *Catalog) take(t tree, p string, parse func(io.Reader, func(name, pattern string)) error) {
	fail := func(err error) { c.Unread = append(c.Unread, "/"+p+": "+reason(err)) }
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
		if n.Validate() == nil && pattern != "" && len(pattern) <= maxTextBytes && len(c.Served) < maxCatalogPatterns {
			c.Served = append(c.Served, Served{n, clean(pattern), "/" + p})
		}
	})
	if err != nil {
		fail(err)
		return
	}
	c.Read = append(c.Read, "/"+p)
}

// lines calls f for every line, without its end.
func lines(r io.Reader, f func(string)) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxCatalogLine)
	for s.Scan() {
		f(s.Text())
	}
	return s.Err()
}

// parseModaliases reads stanzas with the fields Package and Modaliases, whose
// form is MODULE(PATTERN, PATTERN), MODULE(PATTERN).
func parseModaliases(r io.Reader, tell func(name, pattern string)) error {
	name := ""
	return lines(r, func(line string) {
		if v, ok := strings.CutPrefix(line, "Package: "); ok {
			name = v
			return
		}
		v, ok := strings.CutPrefix(line, "Modaliases: ")
		if !ok {
			return
		}
		for part := range strings.SplitSeq(v, ")") {
			_, patterns, ok := strings.Cut(part, "(")
			if !ok {
				continue
			}
			for p := range strings.SplitSeq(patterns, ",") {
				tell(name, strings.TrimSpace(p))
			}
		}
	})
}

// parseDEP11 finds, in YAML as AppStream's generator writes it, the package of
// each document and the list Provides.modaliases.
func parseDEP11(r io.Reader, tell func(name, pattern string)) error {
	name, section, key := "", "", ""
	return lines(r, func(line string) {
		text := strings.TrimLeft(line, " ")
		indent := len(line) - len(text)
		item, isItem := strings.CutPrefix(text, "- ")
		k, v, isKey := strings.Cut(text, ":")
		switch {
		case line == "---":
			name, section, key = "", "", ""
		case isItem && section == "Provides" && key == "modaliases":
			tell(name, unquote(item))
		case isItem:
		case indent == 0 && isKey:
			section, key = k, ""
			if k == "Package" {
				name = unquote(strings.TrimSpace(v))
			}
		case indent > 0 && isKey && section == "Provides":
			key = k
		}
	})
}

// unquote takes YAML's quotes off a plain scalar.
func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// index finds the aliases that patterns match. Case does not count, since lists
// differ in how they write hexadecimal digits.
type index struct {
	folded  []string   // sorted
	aliases []Modalias // in the same order
}

// fold makes a text that path.Match treats as one element.
func fold(s string) string {
	return strings.NewReplacer("/", "\x00", `\`, "\x01").Replace(strings.ToUpper(s))
}

func newIndex(aliases []Modalias) index {
	x := index{aliases: slices.Clone(aliases)}
	slices.SortStableFunc(x.aliases, func(a, b Modalias) int { return cmp.Compare(fold(a.Alias), fold(b.Alias)) })
	for _, a := range x.aliases {
		x.folded = append(x.folded, fold(a.Alias))
	}
	return x
}

// match gives the aliases that a pattern with *, ? and [a-z] matches as a whole.
// Only those that start as the pattern does are tried.
func (x index) match(pattern string) []Modalias {
	pattern = fold(pattern)
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

// broad reports whether a pattern names no maker: it matches a whole class of
// devices.
func broad(pattern string) bool {
	_, rest, ok := strings.Cut(pattern, ":v")
	return ok && strings.HasPrefix(rest, "*")
}
