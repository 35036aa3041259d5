package events_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"cortex/events"
)

func FuzzSanitize(f *testing.F) {
	f.Add("a\x1b[2Jb\u202ec\n\td\ue000", 5)
	f.Add("\xff\xfeé", 2)
	f.Fuzz(func(t *testing.T, s string, most int) {
		most = max(0, most%200)
		for name, got := range map[string]string{"SanitizeLine": events.SanitizeLine(s, most), "SanitizeText": strings.ReplaceAll(events.SanitizeText(s, most), "\n", "")} {
			if len(got) > most || !utf8.ValidString(got) {
				t.Errorf("%s: %q of %d bytes", name, got, len(got))
			}
			for _, r := range got {
				if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Co, r) {
					t.Errorf("%s returned %U", name, r)
				}
			}
		}
	})
}

func TestSanitizeKeepsWords(t *testing.T) {
	if got := events.SanitizeLine(" a\r\n b\u200bc\x00d ", 100); got != "a bc d" {
		t.Errorf("%q", got)
	}
	if got := events.SanitizeText("a\tb\r\nc\x1b", 100); got != "a b\nc" {
		t.Errorf("%q", got)
	}
}
