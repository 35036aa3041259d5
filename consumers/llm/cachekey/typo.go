package cachekey

import "strings"

// Words shorter or longer than this are not taken for misspelt: too many others
// are near, or too many would have to be looked up.
const minTypoLength, maxTypoLength = 5, 40

// maxTypoFrequency is below how many descriptions a word may be a misspelling of a verb.
const maxTypoFrequency = 20

// correctVerb gives a verb that is misspelt by one letter as it is meant, when only one
// can be meant; and every other word as it is.
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

// negatingPrefix is the prefix that turns a verb into its opposite. A misspelling never
// loses or gains one.
func negatingPrefix(verb string) string {
	for _, prefix := range []string{"un", "dis", "de"} {
		if strings.HasPrefix(verb, prefix) {
			return prefix
		}
	}
	return ""
}

// correctName gives a word that nobody knows, and that is one letter from the name of
// exactly one package, as that name.
func (p *parser) correctName(w string) string {
	if len(w) < minTypoLength || len(w) > maxTypoLength || functionWords()[w] || articles()[w] || actionClasses()[w] != "" || genericHeads()[w] || packageLabels()[w] || toolPurposes()[w] != "" ||
		p.vocabulary.IsPackage(w) || p.vocabulary.Frequency(w) > 0 || p.vocabulary.Frequency(singular(w)) > 0 || p.vocabulary.IsPackage(singular(w)) {
		return w
	}
	return onlyNeighbour(w, p.vocabulary.IsPackage)
}

const letters = "abcdefghijklmnopqrstuvwxyz"

// neighbours lists the words that are one letter away: one left out, one too
// many, another one, or two changed places. Only letters are touched: a version
// is never a misspelling of another.
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
