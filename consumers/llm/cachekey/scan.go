package cachekey

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind is the kind of a token.
type tokenKind int

const (
	word           tokenKind = iota
	literal                  // verbatim: quoted, a path, a flag, an address, a pattern
	listSeparator            // , & + and: parts of one list
	plusSeparator            // a + between parts that are complete by themselves
	orderSeparator           // ; . ( ): the order across it has meaning
)

type token struct {
	text string
	kind tokenKind
}

// String returns the token in the form that tokenize reads.
func (t token) String() string {
	switch {
	case t.kind == listSeparator:
		return ","
	case t.kind == plusSeparator:
		return "+"
	case t.kind == orderSeparator:
		return ";"
	case t.kind == literal && strings.Contains(t.text, `"`):
		return "'" + t.text + "'"
	case t.kind == literal:
		return `"` + t.text + `"`
	}
	return t.text
}

// isPlainText reports whether text consists of plain words.
func isPlainText(text string) bool {
	if !utf8.ValidString(text) || strings.ContainsAny(text, "|<>`\x00") || strings.Contains(text, "$(") || strings.Contains(text, "${") {
		return false
	}
	for _, r := range text {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r)) {
			return false
		}
	}
	return true
}

// tokenize splits text into tokens. asks is true if it ends in a question mark.
func tokenize(text string) (out []token, asks bool) {
	text = strings.NewReplacer("’", "'", "‘", "'", "“", `"`, "”", `"`, "…", " ").Replace(text)
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		if quoted, rest, ok := cutQuoted(text); ok {
			out, text = append(out, token{quoted, literal}), rest
			continue
		}
		end := strings.IndexFunc(text, unicode.IsSpace)
		if end < 0 {
			end = len(text)
		}
		field, rest := text[:end], text[end:]
		if i := strings.IndexAny(field, `"`); i > 0 {
			field, rest = field[:i], text[i:]
		}
		asks = strings.HasSuffix(field, "?") && strings.TrimSpace(rest) == ""
		out, text = append(out, splitField(field)...), rest
	}
	for len(out) > 0 && out[len(out)-1].isSeparator() {
		out = out[:len(out)-1]
	}
	for len(out) > 0 && out[0].isSeparator() {
		out = out[1:]
	}
	return out, asks
}

func (t token) isSeparator() bool {
	return t.kind == listSeparator || t.kind == plusSeparator || t.kind == orderSeparator
}

// is reports whether the token is this word.
func (t token) is(text string) bool { return t.kind == word && t.text == text }

func cutQuoted(text string) (quoted, rest string, ok bool) {
	q := text[0]
	if q != '"' && q != '\'' {
		return "", "", false
	}
	quoted, rest, ok = strings.Cut(text[1:], string(q))
	if !ok || quoted == "" {
		return "", text[1:], false
	}
	return quoted, rest, true
}

// splitField splits one field without spaces into tokens.
func splitField(field string) []token {
	switch strings.ToLower(field) {
	case "&", "&&", ",", "and", "plus":
		return []token{{",", listSeparator}}
	case "+":
		return []token{{"+", plusSeparator}}
	case ";":
		return []token{{";", orderSeparator}}
	}
	var before, after []token
	for field != "" && strings.ContainsRune(`("'`, rune(field[0])) {
		if field[0] == '(' {
			before = append(before, token{";", orderSeparator})
		}
		field = field[1:]
	}
trailing:
	for field != "" {
		switch field[len(field)-1] {
		case ',':
			after = append([]token{{",", listSeparator}}, after...)
		case ';', ')', '.', '!', '?', ':':
			after = append([]token{{";", orderSeparator}}, after...)
		case '"', '\'':
		default:
			break trailing
		}
		field = field[:len(field)-1]
	}
	if field == "" {
		return append(before, after...)
	}
	for i, part := range strings.Split(field, ",") { // a,b,c
		if i > 0 {
			before = append(before, token{",", listSeparator})
		}
		if part != "" {
			before = append(before, classify(part))
		}
	}
	return append(before, after...)
}

// classify returns a literal, which stays unchanged, or a word.
func classify(field string) token {
	if len(field) > 1 && field[0] == '-' || strings.ContainsAny(field, `/\*=:@{}[]~$#"_?;!()`) {
		return token{field, literal}
	}
	return token{strings.ToLower(field), word}
}
