package cachekey

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"cortex/events"
)

// Version is that of the rules; it is part of every [IntentKey.Hash], so that keys made
// by other rules are never taken for equal.
const Version = 1

// Limits of what gets a key.
const (
	maxWords  = 64
	maxRounds = 6
)

// Vocabulary is what must be known about words. It is asked for many words that
// nobody wrote (misspellings are looked up by their neighbours), so that it should
// answer from memory. Safe for concurrent use.
type Vocabulary interface {
	// IsPackage reports whether this is exactly a package's name.
	IsPackage(name string) bool
	// Frequency is in how many packages' descriptions the word occurs; 0 when in
	// none or when nobody knows.
	Frequency(word string) int
}

// IntentKey is the canonical intent key of a request. Compare it with ==.
type IntentKey struct {
	form string
}

// String is the canonical form: readable, and itself a request with this key.
func (k IntentKey) String() string { return k.form }

// Hash is 32 hexadecimal digits that stand for the key; equal for equal keys.
func (k IntentKey) Hash() string {
	sum := sha256.Sum256([]byte("intent " + string(rune('0'+Version)) + "\x00" + k.form))
	return hex.EncodeToString(sum[:16])
}

// Compute gives the key of a request in words. ok is false when it has none: it is
// empty, too long, no plain words (control characters, shell syntax), or it leans
// on something outside itself.
func Compute(words string, v Vocabulary) (k IntentKey, ok bool) {
	if len(words) > events.MaxTextBytes || !isPlainText(words) {
		return IntentKey{}, false
	}
	form := words
	for range maxRounds { // a form that is not its own form would not be canonical
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

// rewriteOnce rewrites a request one time.
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

// countWords is how many words there are, without what separates them.
func countWords(tokens []token) int {
	n := 0
	for _, t := range tokens {
		if !t.isSeparator() {
			n++
		}
	}
	return n
}

// renderQuestion keeps every word of a question but its articles.
func renderQuestion(tokens []token) string {
	var words []string
	for _, t := range dropArticles(tokens) {
		words = append(words, t.String())
	}
	return strings.Join(words, " ") + "?"
}

// refersOutside reports whether the request leans on something that is not in it: a
// pronoun with nothing before it to stand for, or a word such as "again".
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
