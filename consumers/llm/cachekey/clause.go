package cachekey

import (
	"slices"
	"strings"
)

// group is one part of a list.
type group struct {
	words     []token
	complete  bool // complete by itself: the name of a package, or begins with "a"
	joined    bool // joined from several words
	reordered bool // "x for y" became "y x"
}

func (g group) String() string {
	var words []string
	for _, t := range g.words {
		words = append(words, t.String())
	}
	return strings.Join(words, " ")
}

// clause returns the canonical form of one verb with its objects.
func (p *parser) clause(tokens []token) (string, bool) {
	action, rest := p.splitAction(tokens)
	if len(rest) == 0 {
		switch action {
		case "install", "remove", "purge", "configure", "search":
			return "", false
		}
		return action, true
	}
	if tokens[0].is("setup") && len(rest) == 1 && p.isPackage(rest[0]) {
		action = "install" // to set up a package alone is to install it; to configure it is not
	}
	if (action == "upgrade" || action == "update") && meansEverything(rest) {
		return "upgrade everything", true
	}
	groups, complete := p.groups(action, rest)
	if len(groups) == 0 {
		return "", false
	}
	if len(groups) == 1 && unorderedActions()[action] {
		groups, complete = p.splitNames(groups, complete)
	}
	forms := make([]string, len(groups))
	for i, g := range groups {
		forms[i] = g.String()
	}
	separator := " ; "
	ordered := slices.ContainsFunc(rest, func(t token) bool { return t.kind == orderSeparator }) || hasRelation(rest)
	if len(groups) > 1 && unorderedActions()[action] && !ordered && (complete || p.independent(groups)) {
		separator = " + "
		slices.Sort(forms)
	}
	return action + " " + strings.Join(forms, separator), true
}

// splitAction returns the class of the clause's verb and the words after it. A clause
// without a verb asks for an installation.
func (p *parser) splitAction(tokens []token) (string, []token) {
	if tokens[0].kind != word {
		return "install", tokens
	}
	verb := p.correctVerb(tokens[0].text)
	class := actionClasses()[verb]
	if class == "" || len(tokens) > 1 && p.vocabulary.IsPackage(verb) && tokens[1].isSeparator() {
		return "install", tokens
	}
	rest := tokens[1:]
	for len(rest) > 0 && rest[0].isSeparator() {
		rest = rest[1:]
	}
	if wantVerbs()[verb] && (hasRelation(rest) || slices.ContainsFunc(rest, func(t token) bool { return t.kind == word && factNouns()[t.text] })) {
		class = verb
	}
	return class, rest
}

func meansEverything(tokens []token) bool {
	for _, phrase := range everythingPhrases() {
		if len(phrase) == len(tokens) && matches(tokens, phrase) {
			return true
		}
	}
	return false
}

// hasRelation reports whether a word relates the parts of a list to each other.
func hasRelation(tokens []token) bool {
	return slices.ContainsFunc(tokens, func(t token) bool { return t.kind == word && relationWords()[t.text] })
}

// groups splits the object of a clause at its separators. complete is true if every
// group is complete by itself.
func (p *parser) groups(action string, tokens []token) (out []group, complete bool) {
	complete = true
	begin := 0
	for i := 0; i <= len(tokens); i++ {
		if i < len(tokens) && !tokens[i].isSeparator() {
			continue
		}
		if i < len(tokens) && tokens[i].kind != plusSeparator {
			complete = false
		}
		if g := p.group(action, tokens[begin:i]); len(g.words) > 0 {
			out = append(out, g)
		}
		begin = i + 1
	}
	return out, complete && len(out) > 1
}

// splitNames splits a row of package names without separators.
func (p *parser) splitNames(groups []group, complete bool) ([]group, bool) {
	g := groups[0]
	if len(g.words) < 2 || g.reordered {
		return groups, complete
	}
	var out []group
	for _, t := range g.words {
		if !p.isPackage(t) {
			return groups, complete
		}
		out = append(out, group{words: []token{t}, complete: true})
	}
	return out, true
}

// independent reports whether the order of a list has no meaning: each part is complete
// by itself, and none may share the first word of another, as in "php mysql and curl".
func (p *parser) independent(groups []group) bool {
	for i, g := range groups {
		if !g.complete || g.reordered {
			return false
		}
		if !g.joined {
			continue
		}
		first, _, _ := strings.Cut(g.words[0].text, "-")
		for j, other := range groups {
			if j != i && (p.vocabulary.IsPackage(first+"-"+other.words[0].text) || p.vocabulary.IsPackage(first+other.words[0].text)) {
				return false
			}
		}
	}
	return true
}
