package pkgindex

import (
	"bufio"
	"io"
	"strings"
)

// maxFieldBytes limits one field of a stanza. The rest of the field is ignored.
const maxFieldBytes = 64 << 10

// parseStanzas reads deb822(5) stanzas and calls use with the wanted fields of each. It reuses
// the map.
func parseStanzas(r io.Reader, wanted map[string]bool, use func(map[string]string)) error {
	in := bufio.NewReaderSize(r, 1<<20)
	fields := map[string]string{}
	field := ""
	flush := func() {
		if len(fields) > 0 {
			use(fields)
			clear(fields)
		}
		field = ""
	}
	for {
		line, err := readLine(in)
		switch {
		case line == "" && err == nil:
			flush()
		case strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"):
			if field != "" && len(fields[field])+len(line) < maxFieldBytes {
				fields[field] += "\n" + line
			}
		case line != "":
			field = ""
			if name, value, ok := strings.Cut(line, ":"); ok && wanted[name] {
				field = name
				fields[name] = strings.TrimSpace(value)
			}
		}
		if err == io.EOF {
			flush()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readLine reads one line and truncates it to maxFieldBytes.
func readLine(in *bufio.Reader) (string, error) {
	var long []byte
	for {
		part, err := in.ReadSlice('\n')
		if err == nil && long == nil {
			return strings.TrimRight(string(part), "\r\n"), nil
		}
		if room := maxFieldBytes - len(long); room > 0 {
			long = append(long, part[:min(len(part), room)]...)
		}
		if err != bufio.ErrBufferFull {
			return strings.TrimRight(string(long), "\r\n"), err
		}
	}
}

// dep11Component is the English data of one DEP-11 component.
type dep11Component struct {
	pkg, name, summary string
	words              []string // keywords and categories
	application        bool
	languages          int // number of translations of its name, an estimate of its popularity
}

// parseDEP11 reads DEP-11 as appstream-generator writes it: YAML with an indentation of two
// spaces and lists with "- ". It skips other YAML.
func parseDEP11(r io.Reader, use func(dep11Component)) error {
	in := bufio.NewReaderSize(r, 1<<20)
	var c dep11Component
	section, english := "", false
	for {
		line, err := readLine(in)
		switch {
		case line == "---":
			if c.pkg != "" {
				use(c)
			}
			c, section, english = dep11Component{}, "", false
		case line != "" && line[0] != ' ' && line[0] != '-':
			section, english = c.parseTopLevel(line), false
		case strings.HasPrefix(line, "- "):
			if section == "Categories" {
				c.words = append(c.words, unquote(line[2:]))
			}
		case strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "   "):
			english = c.parseNested(section, line[2:], english)
		}
		if err == io.EOF {
			if c.pkg != "" {
				use(c)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// parseTopLevel parses a line without indentation and returns its key.
func (c *dep11Component) parseTopLevel(line string) string {
	key, value, _ := strings.Cut(line, ":")
	switch key {
	case "Package":
		c.pkg = unquote(value)
	case "Type":
		c.application = strings.Contains(value, "application")
	}
	return key
}

// parseNested parses a line with one level of indentation. english, as argument and as
// result, reports whether the list being read belongs to the English part.
func (c *dep11Component) parseNested(section, line string, english bool) bool {
	if item, ok := strings.CutPrefix(line, "- "); ok {
		if section == "Keywords" && english {
			c.words = append(c.words, unquote(item))
		}
		return english
	}
	lang, value, _ := strings.Cut(line, ":")
	switch section {
	case "Name":
		c.languages++
		if lang == "C" {
			c.name = unquote(value)
		}
	case "Summary":
		if lang == "C" {
			c.summary = unquote(value)
		}
	}
	return lang == "C"
}

func unquote(s string) string {
	s = strings.TrimSpace(s)
	if len(s) >= 2 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		s = s[1 : len(s)-1]
	}
	return s
}
