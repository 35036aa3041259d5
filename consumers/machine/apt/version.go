package apt

import (
	"cmp"
	"strings"

	"cortex/events"
)

// CompareVersions orders two versions by dpkg's rules (deb-version(7)): epoch as
// a number, then upstream part and revision by alternating runs of non-digits
// and digits, where "~" sorts before everything, even the end. It returns -1, 0
// or +1.
func CompareVersions(a, b events.Version) int {
	ea, ua, ra := splitVersion(string(a))
	eb, ub, rb := splitVersion(string(b))
	return cmp.Or(compareNumbers(ea, eb), compareParts(ua, ub), compareParts(ra, rb))
}

// splitVersion returns epoch, upstream version and revision; a missing part is "".
func splitVersion(v string) (epoch, upstream, revision string) {
	if e, rest, ok := strings.Cut(v, ":"); ok {
		epoch, v = e, rest
	}
	if i := strings.LastIndex(v, "-"); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// charOrder returns the rank of one character of a non-digit run: "~" first, then the
// end of the run, then letters, then everything else.
func charOrder(s string, i int) int {
	switch {
	case i >= len(s) || isDigit(s[i]):
		return 0
	case s[i] == '~':
		return -1
	case s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z':
		return int(s[i])
	}
	return int(s[i]) + 256
}

func compareParts(a, b string) int {
	for len(a) > 0 || len(b) > 0 {
		i := 0
		for ; i < len(a) && !isDigit(a[i]) || i < len(b) && !isDigit(b[i]); i++ {
			if d := cmp.Compare(charOrder(a, i), charOrder(b, i)); d != 0 {
				return d
			}
		}
		a, b = a[min(i, len(a)):], b[min(i, len(b)):]
		na, nb := leadingDigits(a), leadingDigits(b)
		if d := compareNumbers(na, nb); d != 0 {
			return d
		}
		a, b = a[len(na):], b[len(nb):]
	}
	return 0
}

func leadingDigits(s string) string {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s[:i]
}

// compareNumbers compares digit strings of any length; "" is zero.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
