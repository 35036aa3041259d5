package cachekey

import "strings"

// Only words of these lengths are corrected: a shorter one has too many neighbours, and
// a longer one needs too many lookups.
const minTypoLength, maxTypoLength = 5, 40

// maxTypoFrequency is the number of descriptions from which a word is not a misspelling.
const maxTypoFrequency = 20

// correctVerb corrects a verb that is misspelt by one letter, if only one verb is that
// near. It returns every other word unchanged.
func (p *parser) correctVerb(w string) string {
	if actionClasses()[w] != "" || len(w) < minTypoLength || len(w) > maxTypoLength || functionWords()[w] || p.vocabulary.IsPackage(w) || p.vocabulary.Frequency(w) >= maxTypoFrequency {
		return w
	}
	return onlyNeighbour(w, func(near string) bool {
		return actionClasses()[near] != "" && negatingPrefix(w) == negatingPrefix(near)
	})
}

// onlyNeighbour returns the word one letter away from w that fits; w if none or several do.
func onlyNeighbour(w string, fits func(near string) bool) string {
	found := ""
	for _, near := range neighbours(w) {
		if near == found || !fits(near) {
			continue
		}
		if found != "" {
			return w
		}
		found = near
	}
	if found == "" {
		return w
	}
	return found
}

// negatingPrefix returns the prefix that turns a verb into its opposite. A correction
// never adds or removes one.
func negatingPrefix(verb string) string {
	for _, prefix := range []string{"un", "dis", "de"} {
		if strings.HasPrefix(verb, prefix) {
			return prefix
		}
	}
	return ""
}

// correctName corrects an unknown word that is one letter away from the name of exactly
// one package. It returns every other word unchanged.
func (p *parser) correctName(w string) string {
	if len(w) < minTypoLength || len(w) > maxTypoLength || functionWords()[w] || articles()[w] || actionClasses()[w] != "" || genericHeads()[w] || packageLabels()[w] || toolPurposes()[w] != "" ||
		p.vocabulary.IsPackage(w) || p.vocabulary.Frequency(w) > 0 || p.vocabulary.Frequency(singular(w)) > 0 || p.vocabulary.IsPackage(singular(w)) {
		return w
	}
	return onlyNeighbour(w, p.vocabulary.IsPackage)
}

const letters = "abcdefghijklmnopqrstuvwxyz"

// neighbours lists the words that are one edit away: a letter is missing, additional or
// different, or two letters are swapped. Digits are not changed: a version is never a
// misspelling of another.
func neighbours(w string) []string {
	var out []string
	letter := func(i int) bool { return i < len(w) && w[i] >= 'a' && w[i] <= 'z' }
	for i := range len(w) + 1 {
		head, tail := w[:i], w[i:]
		for j := range len(letters) {
			out = append(out, head+letters[j:j+1]+tail)
			if letter(i) && letters[j] != w[i] {
				out = append(out, head+letters[j:j+1]+tail[1:])
			}
		}
		if !letter(i) {
			continue
		}
		out = append(out, head+tail[1:])
		if letter(i+1) && w[i] != w[i+1] {
			out = append(out, head+tail[1:2]+tail[:1]+tail[2:])
		}
	}
	return out
}
