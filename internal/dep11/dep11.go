// Package dep11 reads DEP-11 files: the application data of a Debian archive
// ("Components-amd64.yml"), one YAML document for each component.
//
// It promises:
//
//   - It reads a file of any size as a stream, one component at a time.
//   - A component loses the fields whose layout differs from that of appstream-generator. The
//     other components are not affected.
//   - A line is cut at [MaxLineBytes].
//
// It reads lines, not YAML: appstream-generator indents by two spaces, starts list
// entries with "- " and folds long texts. Escapes in quoted texts are not decoded. A YAML
// parser is too slow: for the file of Debian 12 main amd64 (20 MB unpacked),
// go.yaml.in/yaml/v3 as a stream takes 3.3 s and allocates 213 MB; this package takes 0.11 s
// and allocates 24 MB. Building the whole package index takes a few seconds.
package dep11

import (
	"io"
	"strings"

	"cortex/internal/lines"
)

// MaxLineBytes is the maximum length of a line; the rest is cut.
const MaxLineBytes = 64 << 10

// Component has the fields of one component. Its texts are the untranslated ones.
type Component struct {
	Package    string
	Type       string // such as "desktop-application"
	Name       string
	Summary    string
	Languages  int // translations of Name, the untranslated one included
	Categories []string
	Keywords   []string
	Modaliases []string // patterns of the hardware that the package supports
}

// untranslated is the language key of untranslated texts.
const untranslated = "C"

// Parse calls use for each component that names a package.
func Parse(r io.Reader, use func(Component)) error {
	var p parser
	err := lines.Each(r, MaxLineBytes, func(line string) {
		if line == "---" {
			p.end(use)
		} else {
			p.line(line)
		}
	})
	if err != nil {
		return err
	}
	p.end(use)
	return nil
}

// parser has the current component and the position of the current line in it.
type parser struct {
	c       Component
	section string  // the last key without indentation
	key     string  // the last key with an indentation of two
	text    *string // the text that a more indented next line continues
}

func (p *parser) end(use func(Component)) {
	if p.c.Package != "" {
		p.c.Name, p.c.Summary = unquote(p.c.Name), unquote(p.c.Summary)
		use(p.c)
	}
	*p = parser{}
}

func (p *parser) line(line string) {
	text := strings.TrimLeft(line, " ")
	if text == "" {
		return
	}
	indent := len(line) - len(text)
	if indent > 2 && p.text != nil && len(*p.text) < MaxLineBytes {
		*p.text += " " + strings.TrimSpace(text)
		return
	}
	p.text = nil
	if item, ok := strings.CutPrefix(text, "- "); ok {
		p.item(indent, item)
		return
	}
	key, value, ok := strings.Cut(text, ":")
	switch {
	case !ok:
	case indent == 0:
		p.section, p.key = key, ""
		switch key {
		case "Package":
			p.c.Package = unquote(value)
		case "Type":
			p.c.Type = unquote(value)
		}
	case indent == 2:
		p.key = key
		p.nested(value)
	}
}

// nested reads the value of a key with an indentation of two.
func (p *parser) nested(value string) {
	switch p.section {
	case "Name":
		p.c.Languages++
		p.begin(&p.c.Name, value)
	case "Summary":
		p.begin(&p.c.Summary, value)
	}
}

// begin reads the first line of a text. It ignores translations.
func (p *parser) begin(text *string, value string) {
	if p.key == untranslated {
		*text, p.text = strings.TrimSpace(value), text
	}
}

// item reads an entry of a list. In YAML a list may have the same indentation as its key.
func (p *parser) item(indent int, text string) {
	switch {
	case indent == 0 && p.section == "Categories":
		p.c.Categories = append(p.c.Categories, unquote(text))
	case indent == 2 && p.section == "Keywords" && p.key == untranslated:
		p.c.Keywords = append(p.c.Keywords, unquote(text))
	case p.section == "Provides" && p.key == "modaliases":
		p.c.Modaliases = append(p.c.Modaliases, unquote(text))
	}
}

func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	return s
}
