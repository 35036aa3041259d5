package events_test

import (
	"strings"
	"testing"

	"cortex/events"
)

func TestRedact(t *testing.T) {
	for _, secret := range []string{
		"sk-ant-api03-abcdefghijklmnop", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "AKIAIOSFODNN7EXAMPLE", "xoxb-1234567890-abc",
		"Bearer abcdefghijklmnop", "password=hunter2secret", "the token is qwertyzuiop", "API_KEY: 'zzzzyyyyxxxx'",
		"https://user:swordfish@example.org/x", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcDEF123",
		"-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----", "/home/ada/notes.txt",
	} {
		got := events.Redact("before " + secret + " after")
		if !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
			t.Errorf("%q became %q", secret, got)
		}
		for _, part := range []string{"abcdefghijklmnop", "EXAMPLE", "1234567890-abc", "hunter2", "qwerty", "zzzz", "swordfish", "abcDEF", "MIIE", "ada"} {
			if strings.Contains(got, part) {
				t.Errorf("%q is still in %q", part, got)
			}
		}
	}
	for _, plain := range []string{"install a password manager", "something like basic text editing", "a token ring driver", "python3-secretstorage", "https://deb.debian.org/debian"} {
		if got := events.Redact(plain); got != plain {
			t.Errorf("%q became %q", plain, got)
		}
	}
}
