package cachekey

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"cortex/events"
)

// Version is the version of the rules. It is part of every [IntentKey.Hash], so keys of
// different rules are never equal.
const Version = 1

// Limits of a request with a key.
const (
	maxWords  = 64
	maxRounds = 6
)

// Vocabulary is information about words. The correction of misspellings looks up many
// words, so an implementation should answer from memory. It is safe for concurrent use.
type Vocabulary interface {
	// IsPackage reports whether the word is exactly the name of a package.
	IsPackage(name string) bool
	// Frequency returns the number of package descriptions with the word; 0 also if
	// it is unknown.
	Frequency(word string) int
}

// IntentKey is the canonical intent key of a request. Compare it with ==.
type IntentKey struct {
	form string
}

// String returns the canonical form. It is readable, and a request with this key.
func (k IntentKey) String() string { return k.form }

// Hash returns 32 hexadecimal digits that identify the key.
func (k IntentKey) Hash() string {
	sum := sha256.Sum256([]byte("intent " + string(rune('0'+Version)) + "\x00" + k.form))
	return hex.EncodeToString(sum[:16])
}

// Compute returns the key of a request. ok is false if it has none: the request is empty
// or too long, has control characters or shell syntax, or refers to something outside
// itself.
func Compute(words string, v Vocabulary) (k IntentKey, ok bool) {
	if len(words) > events.MaxTextBytes || !isPlainText(words) {
		return IntentKey{}, false
	}
	form := words
	for range maxRounds { // until the form is its own canonical form
		next, ok := rewriteOnce(form, v)
		if !ok || len(next) > 2*events.MaxTextBytes {
			return IntentKey{}, false
		}
		if next == form {
			return IntentKey{form}, true
		}
		form = next
	}
	return IntentKey{}, false
}

// rewriteOnce applies every rule once.
func rewriteOnce(words string, v Vocabulary) (string, bool) {
	tokens, asks := tokenize(words)
	if len(tokens) == 0 || countWords(tokens) > maxWords {
		return "", false
	}
	p := parser{vocabulary: v}
	tokens = applyAliases(expandContractions(tokens))
	tokens, polite := p.stripPoliteness(tokens)
	if len(tokens) == 0 || refersOutside(tokens) {
		return "", false
	}
	if p.isQuestion(tokens) || asks && !polite && !p.startsWithAction(tokens) {
		return renderQuestion(tokens), true
	}
	var clauses []string
	for _, c := range p.clauses(p.rewriteEnsure(tokens)) {
		text, ok := p.clause(c)
		if !ok {
			return "", false
		}
		clauses = append(clauses, text)
	}
	return strings.Join(clauses, " ; "), len(clauses) > 0
}

// countWords counts the tokens that are not separators.
func countWords(tokens []token) int {
	n := 0
	for _, t := range tokens {
		if !t.isSeparator() {
			n++
		}
	}
	return n
}

// renderQuestion returns a question without its articles.
func renderQuestion(tokens []token) string {
	var words []string
	for _, t := range dropArticles(tokens) {
		words = append(words, t.String())
	}
	return strings.Join(words, " ") + "?"
}

// refersOutside reports whether the request refers to something that is not in it: with
// a pronoun that has no antecedent, or with a word such as "again".
func refersOutside(tokens []token) bool {
	named := false
	for _, t := range tokens {
		if t.kind != word {
			named = named || t.kind == literal
			continue
		}
		switch {
		case backReferences()[t.text]:
			return true
		case pronouns()[t.text] && !named:
			return true
		case actionClasses()[t.text] == "" && !functionWords()[t.text] && !articles()[t.text]:
			named = true
		}
	}
	return false
}
