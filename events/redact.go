package events

import (
	"regexp"
	"sync"
)

// secretPattern matches secrets in free text: the prefixes of known kinds of keys, and
// the words that people write before a password.
var secretPattern = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)` +
		`(-----BEGIN [A-Z ]*PRIVATE KEY-----)[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)` +
		`|\b(sk-|gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AKIA|ASIA|AIza|hf_|npm_|pypi-)[A-Za-z0-9_\-]{8,}` +
		`|\b(eyJ)[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*` +
		`|\b(bearer\s+|basic\s+)[A-Za-z0-9+/_\-.=]{8,}` +
		`|((?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key)["']?\s*(?:[:=]|\bis\b)\s*["']?)[^\s"',;]+` +
		`|(://[^/\s:@]+:)[^/\s@]+@`)
})

// homePattern matches home directories, whose names identify users.
var homePattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`/home/[^/\s:;,"']+`) })

// Redact removes from free text what must not be stored or sent: keys, tokens,
// passwords, and user names in paths of home directories. It finds known forms only.
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
