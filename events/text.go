package events

import (
	"strings"
	"unicode"
)

// SanitizeLine returns foreign text in a form that is safe to store and show: one line
// of valid UTF-8, without control, direction and private characters, at most max bytes.
func SanitizeLine(s string, max int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, ""), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	return truncateBytes(stripInvisible(s), max)
}

// SanitizeText is [SanitizeLine] for text of several lines: it keeps line feeds.
func SanitizeText(s string, max int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.IsControl(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return truncateBytes(stripInvisible(s), max)
}

func stripInvisible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r) {
			return -1
		}
		return r
	}, s)
}

func truncateBytes(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max], "")
}
