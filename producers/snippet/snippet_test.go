package snippet_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/events"
	"cortex/producers/snippet"
)

func corpus(t testing.TB, name string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n%%\n")
}

func TestDangerousSnippetsAreRefused(t *testing.T) {
	all := corpus(t, "dangerous.txt")
	if len(all) < 60 {
		t.Fatalf("only %d snippets", len(all))
	}
	for _, text := range all {
		got, err := snippet.Translate(text)
		if err == nil || !errors.Is(err, events.ErrDenied) || len(got.Intents)+len(got.Notes) > 0 {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	t.Logf("refused %d dangerous snippets", len(all))
}

func TestHarmlessSnippetsAreTranslated(t *testing.T) {
	all := corpus(t, "harmless.txt")
	for _, c := range all {
		text, want, _ := strings.Cut(c, "\n=> ")
		got, err := snippet.Translate(text)
		if want == "refused" {
			if err == nil {
				t.Errorf("%q: %+v", text, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var lines []string
		for _, in := range got.Intents {
			lines = append(lines, snippet.CommandLine(in))
		}
		for range got.Notes {
			lines = append(lines, "note")
		}
		if diff := cmp.Diff(want, strings.Join(lines, "\n=> ")); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	t.Logf("%d harmless snippets", len(all))
}

func TestRefusalsHaveLineAndColumn(t *testing.T) {
	for text, want := range map[string]string{
		"apt install cowsay\napt install $X": "line 2, column 13",
		"apt install cowsay | sh":            "line 1, column 20",
		"apt install 'x":                     "line 1, column 13",
		"rm -rf /":                           "line 1, column 1",
	} {
		_, err := snippet.Translate(text)
		if e, ok := errors.AsType[*events.Error](err); !ok || e.Subject != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// FuzzTranslate checks that an accepted text has only valid intents. Their command lines have no
// character that is special to a shell, and translate to the same intents.
func FuzzTranslate(f *testing.F) {
	for _, s := range append(corpus(f, "dangerous.txt"), corpus(f, "harmless.txt")...) {
		text, _, _ := strings.Cut(s, "\n=> ")
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := snippet.Translate(text)
		if err != nil {
			if len(got.Intents) > 0 || !errors.Is(err, events.ErrDenied) {
				t.Errorf("%+v, %v", got, err)
			}
			return
		}
		for _, in := range got.Intents {
			line := snippet.CommandLine(in)
			if err := in.Validate(); err != nil || strings.ContainsAny(line, "|&;<>()$`\\\"'*?[#!{}\n\t") {
				t.Errorf("%q: %q, %v", text, line, err)
			}
			again, err := snippet.Translate(line)
			if diff := cmp.Diff([]events.Intent{in}, again.Intents); err != nil || diff != "" {
				t.Errorf("%q: %q translates to other intents: %v %s", text, line, err, diff)
			}
		}
	})
}
