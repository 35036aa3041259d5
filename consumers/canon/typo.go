package canon

import "strings"

// Words shorter or longer than this are not taken for misspelt: too many others
// are near, or too many would have to be looked up.
const shortest, longest = 5, 40

// rare is below how many descriptions a word may be a misspelling of a verb.
const rare = 20

// verb gives a verb that is misspelt by one letter as it is meant, when only one
// can be meant; and every other word as it is.
func (p *parser) verb(w string) string {
	if actions()[w] != "" || len(w) < shortest || len(w) > longest || function()[w] || p.v.Known(w) || p.v.Frequency(w) >= rare {
		return w
	}
	found := ""
	for _, near := range neighbours(w) {
		if actions()[near] == "" || near == found || opposite(w) != opposite(near) {
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

// opposite is the prefix that turns a verb into its opposite. A misspelling never
// loses or gains one.
func opposite(verb string) string {
	for _, prefix := range []string{"un", "dis", "de"} {
		if strings.HasPrefix(verb, prefix) {
			return prefix
		}
	}
	return ""
}

// fix gives a word that nobody knows, and that is one letter from the name of
// exactly one package, as that name.
func (p *parser) fix(w string) string {
	if len(w) < shortest || len(w) > longest || function()[w] || articles()[w] || actions()[w] != "" || heads()[w] || labels()[w] || purposes()[w] != "" ||
		p.v.Known(w) || p.v.Frequency(w) > 0 || p.v.Frequency(singular(w)) > 0 || p.v.Known(singular(w)) {
		return w
	}
	found := ""
	for _, near := range neighbours(w) {
		if near == found || !p.v.Known(near) {
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
