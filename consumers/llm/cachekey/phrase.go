package cachekey

import (
	"slices"
	"strings"
)

// parser rewrites tokens with a vocabulary.
type parser struct{ vocabulary Vocabulary }

// expandContractions replaces contractions by their words.
func expandContractions(tokens []token) []token { return substitute(tokens, contractions()) }

// applyAliases replaces synonyms and verbs of several words by one word.
func applyAliases(tokens []token) []token { return substitute(tokens, aliases()) }

func substitute(tokens []token, table []alternative) []token {
	var out []token
next:
	for i := 0; i < len(tokens); {
		for _, a := range table {
			if matches(tokens[i:], a.from) {
				for _, w := range a.to {
					out = append(out, splitField(w)...)
				}
				i += len(a.from)
				continue next
			}
		}
		out = append(out, tokens[i])
		i++
	}
	return out
}

// matches reports whether tokens begin with these words. "and" matches a list separator.
func matches(tokens []token, words []string) bool {
	if len(tokens) < len(words) {
		return false
	}
	for i, w := range words {
		if !tokens[i].is(w) && (w != "and" || tokens[i].kind != listSeparator) {
			return false
		}
	}
	return true
}

// stripPoliteness removes polite phrases from both ends, as long as a word remains.
func (p *parser) stripPoliteness(tokens []token) (left []token, some bool) {
	tokens, some = p.stripBefore(tokens)
	return stripAfter(tokens), some
}

func (p *parser) stripBefore(tokens []token) (left []token, some bool) {
	for again := true; again; {
		again = false
		for len(tokens) > 0 && tokens[0].isSeparator() {
			tokens = tokens[1:]
		}
		for _, phrase := range howToPhrases() {
			if matches(tokens, phrase) && p.startsWithAction(tokens[len(phrase):]) {
				tokens, again, some = tokens[len(phrase):], true, true
			}
		}
		longest := 0
		for _, phrase := range openingPhrases() {
			if len(phrase) > longest && len(phrase) < len(tokens) && matches(tokens, phrase) {
				longest = len(phrase)
			}
		}
		if longest > 0 && !tokens[longest].is("not") {
			mind := tokens[longest-1].is("mind")
			tokens, again, some = tokens[longest:], true, true
			if mind {
				tokens = ungerund(tokens)
			}
		}
	}
	return tokens, some
}

// ungerund rewrites "installing x" to "install x".
func ungerund(tokens []token) []token {
	base, ok := strings.CutSuffix(tokens[0].text, "ing")
	if !ok || tokens[0].kind != word {
		return tokens
	}
	for _, verb := range []string{base, base + "e"} {
		if actionClasses()[verb] != "" {
			return append([]token{{verb, word}}, tokens[1:]...)
		}
	}
	return tokens
}

func stripAfter(tokens []token) []token {
	for again := true; again; {
		again = false
		for len(tokens) > 0 && tokens[len(tokens)-1].isSeparator() {
			tokens = tokens[:len(tokens)-1]
		}
		for _, phrase := range closingPhrases() {
			if at := len(tokens) - len(phrase); at > 0 && matches(tokens[at:], phrase) && !tokens[at-1].is("not") {
				tokens, again = tokens[:at], true
			}
		}
	}
	return tokens
}

// isQuestion reports whether the request asks for information and not for an action.
func (p *parser) isQuestion(tokens []token) bool {
	first := tokens[0]
	if first.kind != word || !questionWords()[first.text] {
		return false
	}
	return first.text != "do" || len(tokens) < 2 || !tokens[1].is("not")
}

// startsWithAction reports whether tokens begin with a verb that has an object.
func (p *parser) startsWithAction(tokens []token) bool {
	if len(tokens) < 2 || tokens[0].kind != word || tokens[1].isSeparator() {
		return false
	}
	return actionClasses()[p.correctVerb(tokens[0].text)] != ""
}

// rewriteEnsure rewrites "make sure that x is installed" to "install x".
func (p *parser) rewriteEnsure(tokens []token) []token {
	last := len(tokens) - 1
	if last < 2 || !tokens[last].is("installed") {
		return tokens
	}
	for _, phrase := range ensurePhrases() {
		if !matches(tokens, phrase) {
			continue
		}
		object := tokens[len(phrase):last]
		if n := len(object); n > 1 && (object[n-1].is("is") || object[n-1].is("are") || object[n-1].is("gets")) {
			object = object[:n-1]
		}
		if len(object) == 0 || slices.ContainsFunc(object, func(t token) bool { return t.kind == word && functionWords()[t.text] || t.kind == orderSeparator }) {
			return tokens
		}
		return append([]token{{"install", word}}, object...)
	}
	return tokens
}

// clauses splits a request where another verb with an object begins.
func (p *parser) clauses(tokens []token) [][]token {
	var out [][]token
	begin := 0
	for i := 1; i < len(tokens); i++ {
		next := i + 1
		switch {
		case tokens[i].isSeparator() && next < len(tokens) && tokens[next].is("then"):
			next++
		case tokens[i].isSeparator() || tokens[i].is("then"):
		default:
			continue
		}
		if next < len(tokens) && i > begin && p.startsWithAction(tokens[next:]) {
			out = append(out, tokens[begin:i])
			begin, i = next, next
		}
	}
	return append(out, tokens[begin:])
}
