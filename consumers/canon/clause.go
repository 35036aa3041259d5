package canon

import (
	"slices"
	"strings"
)

// group is one part of a list.
type group struct {
	words   []token
	whole   bool // says all of itself: a package's name, or begun with "a"
	joined  bool // was several words
	rebuilt bool // was turned round: "x for y" became "y x"
}

func (g group) String() string {
	var words []string
	for _, t := range g.words {
		words = append(words, t.String())
	}
	return strings.Join(words, " ")
}

// clause gives the canonical form of one verb with its objects.
func (p *parser) clause(tokens []token) (string, bool) {
	action, rest := p.action(tokens)
	if len(rest) == 0 {
		switch action {
		case "install", "remove", "purge", "configure", "search":
			return "", false
		}
		return action, true
	}
	if tokens[0].is("setup") && len(rest) == 1 && p.named(rest[0]) {
		action = "install" // setting up a package alone is installing it; configuring it is not
	}
	if (action == "upgrade" || action == "update") && isEverything(rest) {
		return "upgrade everything", true
	}
	groups, complete := p.groups(action, rest)
	if len(groups) == 0 {
		return "", false
	}
	if len(groups) == 1 && commutes()[action] {
		groups, complete = p.names(groups, complete)
	}
	forms := make([]string, len(groups))
	for i, g := range groups {
		forms[i] = g.String()
	}
	separator := " ; "
	ordered := slices.ContainsFunc(rest, func(t token) bool { return t.kind == stop }) || related(rest)
	if len(groups) > 1 && commutes()[action] && !ordered && (complete || p.independent(groups)) {
		separator = " + "
		slices.Sort(forms)
	}
	return action + " " + strings.Join(forms, separator), true
}

// action gives the class of the clause's verb and what follows it. What has no
// verb is asked to be there.
func (p *parser) action(tokens []token) (string, []token) {
	if tokens[0].kind != word {
		return "install", tokens
	}
	verb := p.verb(tokens[0].text)
	class := actions()[verb]
	if class == "" || len(tokens) > 1 && p.v.Known(verb) && tokens[1].separates() {
		return "install", tokens
	}
	rest := tokens[1:]
	for len(rest) > 0 && rest[0].separates() {
		rest = rest[1:]
	}
	if vague()[verb] && (related(rest) || slices.ContainsFunc(rest, func(t token) bool { return t.kind == word && facts()[t.text] })) {
		class = verb
	}
	return class, rest
}

func isEverything(tokens []token) bool {
	for _, phrase := range everything() {
		if len(phrase) == len(tokens) && matches(tokens, phrase) {
			return true
		}
	}
	return false
}

// related reports whether a word says how the parts of a list hang together.
func related(tokens []token) bool {
	return slices.ContainsFunc(tokens, func(t token) bool { return t.kind == word && relations()[t.text] })
}

// groups parts a clause's object at its separators. complete tells that all of
// them were typed as parts that say all of themselves.
func (p *parser) groups(action string, tokens []token) (out []group, complete bool) {
	complete = true
	begin := 0
	for i := 0; i <= len(tokens); i++ {
		if i < len(tokens) && !tokens[i].separates() {
			continue
		}
		if i < len(tokens) && tokens[i].kind != whole {
			complete = false
		}
		if g := p.group(action, tokens[begin:i]); len(g.words) > 0 {
			out = append(out, g)
		}
		begin = i + 1
	}
	return out, complete && len(out) > 1
}

// names parts a row of package names, as it is typed after a command.
func (p *parser) names(groups []group, complete bool) ([]group, bool) {
	g := groups[0]
	if len(g.words) < 2 || g.rebuilt {
		return groups, complete
	}
	var out []group
	for _, t := range g.words {
		if !p.named(t) {
			return groups, complete
		}
		out = append(out, group{words: []token{t}, whole: true})
	}
	return out, true
}

// independent reports whether the parts of a list can change places: each says
// all of itself, and none may be meant to borrow its first word from another, as
// in "php mysql and curl".
func (p *parser) independent(groups []group) bool {
	for i, g := range groups {
		if !g.whole || g.rebuilt {
			return false
		}
		if !g.joined {
			continue
		}
		first, _, _ := strings.Cut(g.words[0].text, "-")
		for j, other := range groups {
			if j != i && (p.v.Known(first+"-"+other.words[0].text) || p.v.Known(first+other.words[0].text)) {
				return false
			}
		}
	}
	return true
}
