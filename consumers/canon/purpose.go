package canon

import (
	"slices"
	"strings"
)

// turn makes "x for y", "x to edit y" and "x that edits y" what they are as a
// compound: "y x", "y editor". One with any other relation is left as it is.
func (p *parser) turn(words []token) (out []token, turned bool) {
	if len(words) > 1 && words[0].kind == word && words[1].kind == word && purposes()[words[0].text] == words[0].text &&
		actions()[words[0].text] == "" && !function()[words[1].text] && purposes()[words[1].text] == "" && !related(words) {
		return p.compound(words[:1], words[1:], nil), true // edit videos
	}
	at := slices.IndexFunc(words, func(t token) bool { return t.is("for") || t.is("to") || t.is("that") || t.is("which") })
	if at < 1 || at == len(words)-1 || related(words[:at]) {
		return trail(words), false
	}
	head, rest := words[:at], words[at+1:]
	if !words[at].is("for") {
		verb := purposes()[rest[0].text]
		if rest[0].kind != word || verb == "" || len(rest) < 2 || related(rest) || function()[rest[1].text] || words[at].is("to") && verb != rest[0].text {
			return words, false
		}
		return p.compound(rest[:1], rest[1:], head), true
	}
	if function()[rest[0].text] {
		return words, false
	}
	if doing := purposes()[rest[0].text]; doing != "" && strings.HasSuffix(rest[0].text, "ing") && len(rest) > 1 && !related(rest) {
		return p.compound(rest[:1], rest[1:], head), true
	}
	rest, _ = p.turn(rest)
	if related(rest) {
		return words, false
	}
	out = trail(append(slices.Clone(rest), head...))
	if !slices.ContainsFunc(out, func(t token) bool { return !p.named(t) }) {
		return words, false // a row of names would be a list
	}
	return out, true
}

// named reports whether the token names a package.
func (p *parser) named(t token) bool {
	if t.kind == literal {
		return strings.ContainsAny(t.text, ":=")
	}
	return t.kind == word && p.v.Known(t.text) && !function()[t.text]
}

// compound is object, verb, head: "pdf edit" for something to edit PDFs.
func (p *parser) compound(verb, object, head []token) []token {
	if n := len(object); n > 1 && (object[n-1].is("files") || object[n-1].is("file")) && formats()[object[n-2].text] {
		object = object[:n-1]
	}
	out := append(slices.Clone(object), token{purposes()[verb[0].text], word})
	if len(head) == 1 && head[0].kind == word && heads()[head[0].text] {
		return out // something to edit PDFs
	}
	return append(out, head...)
}

// trail drops "tools" and its like after what they are for.
func trail(words []token) []token {
	n := len(words)
	if n < 2 || words[n-1].kind != word || !heads()[words[n-1].text] || words[n-2].kind != word {
		return words
	}
	if w := words[n-2].text; purposes()[w] != "" || len(w) > 5 && strings.HasSuffix(w, "ing") {
		return words[:n-1]
	}
	return words
}

// stems gives what tools are for one form, and plurals their singular. Names of
// packages stay.
func (p *parser) stems(words []token) []token {
	out := slices.Clone(words)
	for i, t := range out {
		if t.kind != word || function()[t.text] {
			continue
		}
		if base := purposes()[t.text]; base != "" && len(out) > 1 {
			out[i].text = base
			continue
		}
		if one := singular(t.text); !p.v.Known(t.text) || len(out) > 1 && formats()[one] {
			out[i].text = one
		}
	}
	return out
}

func singular(w string) string {
	if len(w) < 4 || !strings.HasSuffix(w, "s") || labels()[strings.TrimSuffix(w, "s")] || strings.ContainsAny(w, "0123456789+.") {
		return w
	}
	for _, end := range []string{"ss", "us", "is", "as"} {
		if strings.HasSuffix(w, end) {
			return w
		}
	}
	if base, ok := strings.CutSuffix(w, "ies"); ok && len(base) > 2 {
		return base + "y"
	}
	for _, end := range []string{"xes", "ches", "shes", "sses"} {
		if strings.HasSuffix(w, end) {
			return strings.TrimSuffix(w, "es")
		}
	}
	return strings.TrimSuffix(w, "s")
}
