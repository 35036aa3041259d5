package events

import (
	"regexp"
	"sync"
)

// secretPattern are the forms in which secrets come into free text: what issuers mark
// their keys with, and what people write before a password.
var secretPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)` +
		`(-----BEGIN [A-Z ]*PRIVATE KEY-----)[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)` +
		`|\b(sk-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|AIza|hf_|npm_|pypi-)[A-Za-z0-9_\-]{8,}` +
		`|\b(eyJ)[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*` +
		`|\b(bearer\s+|basic\s+)[A-Za-z0-9+/_\-.=]{8,}` +
		`|((?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key)["']?\s*(?:[:=]|\bis\b)\s*["']?)[^\s"',;]+` +
		`|(://[^/\s:@]+:)[^/\s@]+@`)
})

// home directories name people.
var homePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`/home/[^/\s:;,"']+`) })

// Redact takes from free text what must not be written down or sent: keys, tokens,
// passwords, and the names in paths of home directories. What it does not know the
// form of it cannot take.
func Redact(s string) string {
	s = secretPattern().ReplaceAllStringFunc(s, func(found string) string {
		for _, m := range secretPattern().FindStringSubmatch(found)[1:] {
			if m != "" {
				return m + "[redacted]"
			}
		}
		return "[redacted]"
	})
	return homePattern().ReplaceAllString(s, "/home/[user]")
}
