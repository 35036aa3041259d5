// Package debian reads the control data of Debian packages: stanzas of fields (deb822(5))
// and relations between packages (Debian Policy 7.1).
//
// It promises to read any text: it skips malformed parts, and returns only the errors of the
// reader. It does not validate names.
package debian

import (
	"io"
	"strings"

	"cortex/internal/lines"
)

// Stanzas calls use for each stanza of r that has one of the wanted fields, with only those
// fields. A value includes its continuation lines, each with its indentation after a line
// feed. A field is cut at limit bytes. If a field occurs twice, the last one counts. The map
// is reused: use must not store it.
func Stanzas(r io.Reader, limit int, wanted []string, use func(fields map[string]string)) error {
	fields, last := map[string]string{}, ""
	flush := func() {
		if len(fields) > 0 {
			use(fields)
			clear(fields)
		}
		last = ""
	}
	err := lines.Each(r, limit, func(line string) {
		switch {
		case line == "":
			flush()
		case line[0] == ' ' || line[0] == '\t':
			if last != "" && len(fields[last])+len(line) < limit {
				fields[last] += "\n" + line
			}
		default:
			last = ""
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return
			}
			for _, w := range wanted {
				if w == name {
					last, fields[w] = w, strings.TrimSpace(value)
				}
			}
		}
	})
	if err != nil {
		return err
	}
	flush()
	return nil
}

// RelationNames lists the package names in a relationship field, alternatives included,
// without versions, architectures and profiles: "a (>= 1), b:any | c" has a, b and c.
func RelationNames(field string) []string {
	var names []string
	for part := range strings.FieldsFuncSeq(field, func(r rune) bool { return r == ',' || r == '|' }) {
		name := strings.TrimSpace(part)
		if i := strings.IndexAny(name, " \t\n(:[<"); i >= 0 {
			name = name[:i]
		}
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}
