package cachekey

import (
	"slices"
	"strings"
)

// group returns the canonical form of one part of a list.
func (p *parser) group(action string, tokens []token) group {
	var g group
	g.complete = len(tokens) > 0 && (tokens[0].is("a") || tokens[0].is("an") || tokens[0].is("some"))
	words := make([]token, 0, len(tokens))
	for _, t := range tokens {
		if t.kind == word {
			for _, part := range p.splitName(p.correctName(t.text)) {
				words = append(words, token{part, word})
			}
			continue
		}
		words = append(words, t)
	}
	words, g.joined = p.joinWords(joinUnits(words))
	words = dropArticles(words)
	words = p.dropLabels(words)
	if action == "install" || action == "search" {
		before := len(words)
		words, g.reordered = p.toCompound(words)
		g.reordered = g.reordered && before > 1
	}
	if action != "remove" && action != "purge" && action != "upgrade" && action != "hold" && action != "unhold" {
		words = p.stemWords(words)
	}
	g.words = words
	if len(words) == 1 && (words[0].kind == literal || p.vocabulary.IsPackage(words[0].text)) {
		g.complete = true
	}
	return g
}

// dropArticles drops the articles that precede a word.
func dropArticles(words []token) []token {
	var out []token
	for i, t := range words {
		if t.kind == word && articles()[t.text] && i+1 < len(words) {
			continue
		}
		out = append(out, t)
	}
	return out
}

// splitName splits a name that is not the name of a package: at hyphens, and where
// digits follow letters, as in php8.1.
func (p *parser) splitName(w string) []string {
	if p.vocabulary.IsPackage(w) || w == "" || isDigit(w[0]) || functionWords()[w] || actionClasses()[w] != "" {
		return []string{w}
	}
	if strings.Contains(w, "-") {
		var out []string
		for _, part := range strings.Split(w, "-") {
			if part == "" {
				return []string{w}
			}
			out = append(out, part)
		}
		return out
	}
	if i := strings.IndexFunc(w, func(r rune) bool { return r >= '0' && r <= '9' }); i > 1 && strings.Trim(w[i:], "0123456789.") == "" {
		return []string{w[:i], w[i:]}
	}
	return []string{w}
}

func isDigit(b byte) bool { return b >= '0' && b <= '9' }

// startsWithDigit reports whether a word begins with a digit.
func (t token) startsWithDigit() bool { return t.kind == word && isDigit(t.text[0]) }

// joinUnits joins a number with its unit, and drops "version" before a number.
func joinUnits(words []token) []token {
	var out []token
	for i, t := range words {
		last := len(out) - 1
		if t.kind == word && units()[strings.TrimSuffix(t.text, "s")] && last >= 0 && out[last].startsWithDigit() && strings.Trim(out[last].text, "0123456789.") == "" {
			unit := strings.TrimSuffix(t.text, "s")
			if unit == "bit" {
				unit = "-bit"
			}
			out[last].text += unit
			continue
		}
		if t.is("version") && last >= 0 && i+1 < len(words) && words[i+1].startsWithDigit() {
			continue
		}
		out = append(out, t)
	}
	return out
}

// minJoinedFrequency is the minimum frequency of two joined words to count as one word.
const minJoinedFrequency = 10

// joinWords joins neighbours that are one word: the name of a package that was typed
// with spaces, or a compound.
func (p *parser) joinWords(words []token) (out []token, some bool) {
	for i := 0; i < len(words); {
		joined, n := p.joinAt(words[i:])
		if n > 1 {
			some = true
		}
		out = append(out, token{joined, words[i].kind})
		i += n
	}
	return out, some
}

func (p *parser) joinAt(words []token) (string, int) {
	for n := min(4, len(words)); n > 1; n-- {
		if slices.ContainsFunc(words[:n], func(t token) bool { return t.kind != word || functionWords()[t.text] || articles()[t.text] }) || words[0].startsWithDigit() {
			continue
		}
		var parts []string
		for _, t := range words[:n] {
			parts = append(parts, t.text)
		}
		for _, name := range []string{strings.Join(parts, "-"), strings.Join(parts, ""), strings.Join(parts[:n-1], "") + "-" + parts[n-1]} {
			if p.vocabulary.IsPackage(name) {
				return name, n
			}
		}
		if name := strings.Join(parts, ""); n == 2 && !words[1].startsWithDigit() && p.vocabulary.Frequency(name) >= minJoinedFrequency {
			return name, n
		}
	}
	return words[0].text, 1
}

// dropLabels drops words such as "package" next to the name of a package.
func (p *parser) dropLabels(words []token) []token {
	var out []token
	for i, t := range words {
		if t.kind == word && packageLabels()[t.text] && !p.vocabulary.IsPackage(t.text) {
			named := func(j int) bool {
				return j >= 0 && j < len(words) && (words[j].kind == literal || p.vocabulary.IsPackage(words[j].text) && !functionWords()[words[j].text])
			}
			if i == len(words)-1 && named(i-1) || i == 0 && named(1) {
				continue
			}
		}
		out = append(out, t)
	}
	return out
}
