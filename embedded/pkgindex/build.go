package pkgindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver

	"cortex/events"
	"cortex/internal/debian"
	"cortex/internal/dep11"
)

// version is the version of the schema. An index with another version must be rebuilt.
const version = 3

const schema = `
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE packages (
  id      INTEGER PRIMARY KEY,
  name    TEXT NOT NULL UNIQUE,
  version TEXT NOT NULL,
  short   TEXT NOT NULL,
  source  TEXT NOT NULL,
  section TEXT NOT NULL,
  keys    TEXT NOT NULL,  -- the stems in name, short description, tags and DEP-11, separated by blanks
  flags   INTEGER NOT NULL,
  used    INTEGER NOT NULL, -- packages that depend on or recommend it
  suggested INTEGER NOT NULL,
  mentioned INTEGER NOT NULL,
  prior   REAL NOT NULL   -- the part of the score that does not depend on the query
);
CREATE TABLE provides (name TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (name, id)) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5(name, short, long, tags, app, context, content='', tokenize='porter unicode61');
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, row);
`

// Flags of a package.
const (
	flagDesktop = 1 << iota // DEP-11 lists an application in it
	flagProgram             // debtags call it a program
	flagLibrary             // a library, documentation or language binding by section or role
	flagPart                // plugin, data, common files by role or name
	flagMeta                // part of a metapackage or task
)

// packageInfo is one package during the build.
type packageInfo struct {
	name, version, short, long, source, section, tags, app, context string
	provides, depends, recommends, suggests                         []string
	flags                                                           int
	translations                                                    int
	dependents, suggested, mentioned                                int
}

// Config names the lists to index and the index file.
type Config struct {
	Dirs []string // directories with apt's lists and with other lists
	Path string   // the index file
	// Progress is called with the name of each stage; optional.
	Progress func(stage string)
}

// Build builds the index and replaces an existing one.
func Build(ctx context.Context, cfg Config) error {
	report := cfg.Progress
	if report == nil {
		report = func(string) {}
	}
	mark, err := Fingerprint(cfg.Dirs)
	if err != nil {
		return err
	}
	report("reading apt's lists")
	all, sources, err := readPackages(ctx, cfg.Dirs)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return &events.Error{Op: "pkgindex.Build", Kind: events.ErrNotFound, Subject: "apt's lists", Err: errors.New("they list no packages"), Hint: "run 'apt-get update'"}
	}
	countRelations(all)
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o755); err != nil {
		return fmt.Errorf("create the directory of the index: %w", err)
	}
	removeStaleFiles(cfg.Path)
	tmp := fmt.Sprintf("%s.new-%d", cfg.Path, os.Getpid())
	defer os.Remove(tmp)
	report(fmt.Sprintf("indexing %d packages", len(all)))
	if err := write(ctx, tmp, all, map[string]string{"fingerprint": mark, "sources": strings.Join(sources, ", ")}); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	return os.Rename(tmp, cfg.Path)
}

// removeStaleFiles removes the temporary files of builds that were killed.
func removeStaleFiles(path string) {
	left, _ := filepath.Glob(path + ".new-*")
	for _, l := range left {
		pid := strings.TrimPrefix(l, path+".new-")
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(l)
		}
	}
}

// readPackages reads all lists. It returns the packages by name and the kinds of data that
// the lists have.
func readPackages(ctx context.Context, dirs []string) (map[string]*packageInfo, []string, error) {
	lists, err := readLists(dirs)
	if err != nil {
		return nil, nil, err
	}
	g := listCollector{packages: map[string]*packageInfo{}, long: map[string]string{}}
	for _, kind := range []listKind{packagesList, translationList, dep11List} {
		for _, l := range lists {
			if l.kind != kind {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			if err := g.read(l); err != nil {
				return nil, nil, fmt.Errorf("read %s: %w", filepath.Base(l.path), err)
			}
		}
	}
	return g.packages, g.sources(), nil
}

type listCollector struct {
	packages   map[string]*packageInfo
	long       map[string]string // read from translations, by package
	tags, apps int
}

func (g *listCollector) sources() []string {
	out := []string{"names and short descriptions"}
	for _, s := range []struct {
		word string
		n    int
	}{{"long descriptions", len(g.long)}, {"debtags", g.tags}, {"application data (DEP-11)", g.apps}} {
		if s.n > 0 {
			out = append(out, s.word)
		}
	}
	return out
}

func (g *listCollector) read(l list) error {
	r, err := l.open()
	if err != nil {
		return err
	}
	defer r.Close()
	switch l.kind {
	case packagesList:
		return debian.Stanzas(r, maxFieldBytes, packageFields, g.addPackage)
	case translationList:
		return debian.Stanzas(r, maxFieldBytes, []string{"Package", "Description-en"}, func(f map[string]string) {
			if p := g.packages[f["Package"]]; p != nil && p.long == "" {
				_, long, _ := strings.Cut(f["Description-en"], "\n")
				p.long = events.SanitizeLine(long, maxLong)
				g.long[p.name] = ""
			}
		})
	case dep11List:
		return dep11.Parse(r, func(c dep11.Component) {
			p := g.packages[c.Package]
			if p == nil {
				return
			}
			g.apps++
			p.app = events.SanitizeLine(p.app+" "+c.Name+" "+c.Summary+" "+strings.Join(c.Categories, " ")+" "+strings.Join(c.Keywords, " "), maxLong)
			p.translations = max(p.translations, c.Languages)
			if strings.Contains(c.Type, "application") {
				p.flags |= flagDesktop
			}
		})
	}
	return nil
}

// maxFieldBytes bounds one field of a package list.
const maxFieldBytes = 64 << 10

var packageFields = []string{"Package", "Version", "Section", "Source", "Description", "Tag", "Provides", "Depends", "Recommends", "Suggests", "Task"}

// Limits of texts from the lists, in bytes.
const (
	maxShort = 200
	maxLong  = 16 << 10
	maxName  = events.MaxPackageNameBytes
)

func (g *listCollector) addPackage(f map[string]string) {
	name := f["Package"]
	if events.PackageName(name).Validate() != nil || len(name) > maxName {
		return
	}
	short, long, _ := strings.Cut(f["Description"], "\n")
	p := &packageInfo{
		name: name, version: events.SanitizeLine(f["Version"], events.MaxVersionBytes), short: events.SanitizeLine(short, maxShort), long: events.SanitizeLine(long, maxLong), section: f["Section"],
		tags: f["Tag"], provides: debian.RelationNames(f["Provides"]), depends: debian.RelationNames(f["Depends"]), recommends: debian.RelationNames(f["Recommends"]), suggests: debian.RelationNames(f["Suggests"]),
	}
	if p.source, _, _ = strings.Cut(f["Source"], " "); p.source == "" {
		p.source = name
	}
	if p.long != "" {
		g.long[name] = ""
	}
	if p.tags != "" {
		g.tags++
	}
	if f["Task"] != "" {
		p.flags |= flagMeta
	}
	if old := g.packages[name]; old != nil && old.long != "" && p.long == "" {
		p.long = old.long
	}
	g.packages[name] = p
}

// countRelations sets the counts and flags that follow from relations between packages.
func countRelations(all map[string]*packageInfo) {
	for _, p := range all {
		for _, part := range []struct {
			names []string
			count func(*packageInfo)
		}{
			{append(append([]string(nil), p.depends...), p.recommends...), func(q *packageInfo) { q.dependents++ }},
			{p.suggests, func(q *packageInfo) { q.suggested++ }},
		} {
			for _, n := range part.names {
				if q := all[n]; q != nil && q.source != p.source {
					part.count(q)
				}
			}
		}
		meta := p.section == "metapackages" || strings.HasPrefix(p.name, "task-") || strings.Contains(p.tags, "role::metapackage")
		if meta {
			for _, n := range append(append([]string(nil), p.depends...), p.recommends...) {
				if q := all[n]; q != nil {
					q.flags |= flagMeta
					q.context = events.SanitizeLine(q.context+" "+p.short, maxLong)
				}
			}
		}
		p.countMentions(all)
		p.classify()
	}
}

// countMentions increments the mention count of every package that is named in p's
// descriptions.
func (p *packageInfo) countMentions(all map[string]*packageInfo) {
	seen := map[string]bool{p.name: true}
	for w := range strings.FieldsSeq(p.short + " " + p.long) {
		w = strings.ToLower(strings.Trim(w, `.,;:()"'<>`))
		if q := all[w]; q != nil && len(w) > 3 && !seen[w] && q.source != p.source && !commonWords[w] {
			seen[w] = true
			q.mentioned++
		}
	}
}

// classify sets the flags that follow from section, role and name.
func (p *packageInfo) classify() {
	section := p.section[strings.LastIndexByte(p.section, '/')+1:]
	switch section {
	case "libs", "libdevel", "oldlibs", "doc", "debug", "perl", "python", "ruby", "haskell", "javascript", "rust", "golang", "ocaml", "php", "java", "gnu-r", "lisp", "introspection", "kernel", "localization", "translations":
		p.flags |= flagLibrary
	}
	if strings.Contains(p.tags, "role::program") {
		p.flags |= flagProgram
	}
	for _, role := range []string{"role::plugin", "role::app-data", "role::documentation", "role::shared-lib", "role::devel-lib", "role::data", "role::debug-symbols"} {
		if strings.Contains(p.tags, role) {
			p.flags |= flagPart
		}
	}
	for _, suffix := range []string{"-common", "-data", "-dev", "-doc", "-dbg", "-dbgsym", "-bin", "-plugins", "-plugin", "-extra", "-utils-data", "-l10n", "-i18n", "-lang", "-tests", "-examples", "-modules"} {
		if strings.HasSuffix(p.name, suffix) {
			p.flags |= flagPart
		}
	}
}

// prior returns the part of the score that does not depend on the query.
func (p *packageInfo) prior() float64 {
	ln := func(n int) float64 { return math.Log1p(float64(n)) }
	score := .03*ln(p.dependents) + .06*ln(p.mentioned) + .07*ln(p.suggested) + .02*ln(p.translations)
	for _, f := range []struct {
		flag   int
		weight float64
	}{{flagDesktop, .15}, {flagProgram, .15}, {flagLibrary, -.35}, {flagPart, -.25}, {flagMeta, .06}} {
		if p.flags&f.flag != 0 {
			score += f.weight
		}
	}
	if p.name == p.source {
		score += .1
	}
	return score
}

func write(ctx context.Context, path string, all map[string]*packageInfo, about map[string]string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(off)&_pragma=synchronous(off)")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after the commit
	if err := insert(ctx, tx, all); err != nil {
		return err
	}
	for k, v := range about {
		if _, err := tx.ExecContext(ctx, `INSERT INTO about VALUES (?, ?)`, k, v); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	return db.Close()
}

func insert(ctx context.Context, tx *sql.Tx, all map[string]*packageInfo) error {
	row, err := tx.PrepareContext(ctx, `INSERT INTO packages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer row.Close()
	text, err := tx.PrepareContext(ctx, `INSERT INTO words (rowid, name, short, long, tags, app, context) VALUES (?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return err
	}
	defer text.Close()
	provides, err := tx.PrepareContext(ctx, `INSERT OR IGNORE INTO provides VALUES (?, ?)`)
	if err != nil {
		return err
	}
	defer provides.Close()
	id := 0
	for _, p := range all {
		id++
		tags := tagWords(p.tags)
		keys := strings.Join(stems(p.name+" "+p.short+" "+tags+" "+p.app), " ")
		if _, err := row.ExecContext(ctx, id, p.name, p.version, p.short, p.source, p.section, keys, p.flags, p.dependents, p.suggested, p.mentioned, p.prior()); err != nil {
			return err
		}
		if _, err := text.ExecContext(ctx, id, p.name, p.short, p.long, tags, p.app, p.context); err != nil {
			return err
		}
		for _, n := range p.provides {
			if _, err := provides.ExecContext(ctx, n, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// tagWords returns the words in debtags: "works with pdf" for "works-with::pdf".
func tagWords(tags string) string {
	return strings.NewReplacer("::", " ", "-", " ", ",", " ", "{", " ", "}", " ", "\n", " ").Replace(tags)
}
