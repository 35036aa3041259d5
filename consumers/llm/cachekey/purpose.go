package cachekey

import (
	"slices"
	"strings"
)

// toCompound rewrites "x for y", "x to edit y" and "x that edits y" to a compound: "y x",
// "y editor". Words with any other relation stay unchanged.
func (p *parser) toCompound(words []token) (out []token, turned bool) {
	if len(words) > 1 && words[0].kind == word && words[1].kind == word && toolPurposes()[words[0].text] == words[0].text &&
		actionClasses()[words[0].text] == "" && !functionWords()[words[1].text] && toolPurposes()[words[1].text] == "" && !hasRelation(words) {
		return p.compound(words[:1], words[1:], nil), true // edit videos
	}
	at := slices.IndexFunc(words, func(t token) bool { return t.is("for") || t.is("to") || t.is("that") || t.is("which") })
	if at < 1 || at == len(words)-1 || hasRelation(words[:at]) {
		return dropTrailingHead(words), false
	}
	head, rest := words[:at], words[at+1:]
	if !words[at].is("for") {
		verb := toolPurposes()[rest[0].text]
		if rest[0].kind != word || verb == "" || len(rest) < 2 || hasRelation(rest) || functionWords()[rest[1].text] || words[at].is("to") && verb != rest[0].text {
			return words, false
		}
		return p.compound(rest[:1], rest[1:], head), true
	}
	if functionWords()[rest[0].text] {
		return words, false
	}
	if doing := toolPurposes()[rest[0].text]; doing != "" && strings.HasSuffix(rest[0].text, "ing") && len(rest) > 1 && !hasRelation(rest) {
		return p.compound(rest[:1], rest[1:], head), true
	}
	rest, _ = p.toCompound(rest)
	if hasRelation(rest) {
		return words, false
	}
	out = dropTrailingHead(append(slices.Clone(rest), head...))
	if !slices.ContainsFunc(out, func(t token) bool { return !p.isPackage(t) }) {
		return words, false // a row of names is a list
	}
	return out, true
}

// isPackage reports whether the token names a package.
func (p *parser) isPackage(t token) bool {
	if t.kind == literal {
		return strings.ContainsAny(t.text, ":=")
	}
	return t.kind == word && p.vocabulary.IsPackage(t.text) && !functionWords()[t.text]
}

// compound returns object, verb, head: "pdf edit" for something to edit PDFs.
func (p *parser) compound(verb, object, head []token) []token {
	if n := len(object); n > 1 && (object[n-1].is("files") || object[n-1].is("file")) && formats()[object[n-2].text] {
		object = object[:n-1]
	}
	out := append(slices.Clone(object), token{toolPurposes()[verb[0].text], word})
	if len(head) == 1 && head[0].kind == word && genericHeads()[head[0].text] {
		return out // something to edit PDFs
	}
	return append(out, head...)
}

// dropTrailingHead drops words such as "tools" after their purpose.
func dropTrailingHead(words []token) []token {
	n := len(words)
	if n < 2 || words[n-1].kind != word || !genericHeads()[words[n-1].text] || words[n-2].kind != word {
		return words
	}
	if w := words[n-2].text; toolPurposes()[w] != "" || len(w) > 5 && strings.HasSuffix(w, "ing") {
		return words[:n-1]
	}
	return words
}

// stemWords replaces the forms of a purpose by one form, and plurals by the singular.
// Names of packages stay unchanged.
func (p *parser) stemWords(words []token) []token {
	out := slices.Clone(words)
	for i, t := range out {
		if t.kind != word || functionWords()[t.text] {
			continue
		}
		if base := toolPurposes()[t.text]; base != "" && len(out) > 1 {
			out[i].text = base
			continue
		}
		if one := singular(t.text); !p.vocabulary.IsPackage(t.text) || len(out) > 1 && formats()[one] {
			out[i].text = one
		}
	}
	return out
}

func singular(w string) string {
	if len(w) < 4 || !strings.HasSuffix(w, "s") || packageLabels()[strings.TrimSuffix(w, "s")] || strings.ContainsAny(w, "0123456789+.") {
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
