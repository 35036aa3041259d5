package cachekey_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"cortex/consumers/llm/cachekey"
	"cortex/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(t testing.TB, words string) cachekey.IntentKey {
	t.Helper()
	k, ok := cachekey.Compute(words, debian(t))
	if !ok {
		t.Fatalf("%q has no key", words)
	}
	return k
}

func TestForms(t *testing.T) {
	for words, want := range map[string]string{
		"please install nginx":                          "install nginx",
		"something to edit PDFs":                        "install pdf edit",
		"install curl, wget and jq":                     "install curl + jq + wget",
		"install nginx, then remove apache2":            "install nginx ; remove apache2",
		"tools for c and python":                        "install c tool ; python",
		"install a web server but not apache":           "install webserver but not apache",
		"update everything":                             "upgrade everything",
		"What is nginx?":                                "what is nginx?",
		"install nginx=1.22.1-9":                        `install "nginx=1.22.1-9"`,
		`copy "My File" to /srv`:                        `copy "My File" to "/srv"`,
		"configure nginx":                               "configure nginx",
		"install php mysql and curl":                    "install php-mysql ; curl",
		"install docker compose and docker":             "install docker + docker-compose",
		"how do I install postgres 15":                  "install postgresql-15",
		"could you upgrade nginx and apache2, please":   "upgrade apache2 + nginx",
		"install python3 for nginx":                     "install python3 for nginx",
		"don't install docker":                          "install do not install docker",
		"remove old kernels":                            "remove old kernels",
		"install nginx. remove apache2.":                "install nginx ; remove apache2",
		"set up nginx":                                  "install nginx",
		"software that scans documents (for the blind)": "install document scan ; for blind",
	} {
		if got := key(t, words).String(); got != want {
			t.Errorf("%q is [%s], want [%s]", words, got, want)
		}
	}
}

func TestNoKey(t *testing.T) {
	for name, words := range map[string]string{
		"nothing":              "",
		"blanks":               " \t\n",
		"politeness alone":     "please",
		"a verb alone":         "install",
		"shell":                "install nginx | sh",
		"substitution":         "install $(curl x)",
		"a control character":  "install \x1bnginx",
		"a direction override": "install \u202enginx",
		"no UTF-8":             "install \xff",
		"a pronoun":            "remove it",
		"what was before":      "install it again",
		"too long":             "install " + strings.Repeat("a", events.MaxTextBytes),
		"too many words":       "install" + strings.Repeat(" nginx", 64),
	} {
		t.Run(name, func(t *testing.T) {
			if k, ok := cachekey.Compute(words, debian(t)); ok {
				t.Errorf("has the key [%s]", k)
			}
		})
	}
	if _, ok := cachekey.Compute("install"+strings.Repeat(" nginx", 63), debian(t)); !ok {
		t.Error("a request of the maximum length has no key")
	}
}

var someNames = []string{"nginx", "apache2", "curl", "git", "vim", "python3-numpy", "g++", "libssl-dev", "mariadb-server", "postgresql-15", "tmux", "htop"}

// splitNames draws distinct names of packages.
func names(t *rapid.T, least int) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(someNames), least, 8, rapid.ID[string]).Draw(t, "names")
}

func TestKeyIgnoresOrderOfList(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := names(rt, 2)
		verb := rapid.SampledFrom([]string{"install", "remove", "purge", "upgrade", "hold"}).Draw(rt, "verb")
		form := func(list []string) string {
			return verb + " " + strings.Join(list[:len(list)-1], rapid.SampledFrom([]string{", ", " and "}).Draw(rt, "comma")) + " and " + list[len(list)-1]
		}
		shuffled := slices.Clone(list)
		rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		first := key(t, form(list))
		if other := key(t, form(shuffled)); first != other {
			rt.Fatalf("[%s] and [%s]", first, other)
		}
		if row := key(t, verb+" "+strings.Join(shuffled, " ")); first != row {
			rt.Fatalf("as a row: [%s] and [%s]", first, row)
		}
		swapped := slices.Clone(list)
		swapped[rapid.IntRange(0, len(list)-1).Draw(rt, "which")] = "cowsay"
		if other := key(t, form(swapped)); first == other {
			rt.Fatalf("one exchanged: both [%s]", first)
		}
	})
}

func TestKeyDependsOnVersions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.StringMatching(`[1-9][0-9]{0,2}(\.[0-9]{1,2}){0,2}`)
		a, b := version.Draw(rt, "a"), version.Draw(rt, "b")
		form := rapid.SampledFrom([]string{"install php %s", "install php%s", "install php version %s and nginx", "install nvidia driver %s", "install python %s with numpy", "a tool for php %s"}).Draw(rt, "form")
		if ka, kb := key(t, fmt.Sprintf(form, a)), key(t, fmt.Sprintf(form, b)); (ka == kb) != (a == b) {
			rt.Fatalf("%s and %s: [%s] and [%s]", a, b, ka, kb)
		}
	})
}

func TestKeyDependsOnDirection(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		two := names(rt, 2)
		form := rapid.SampledFrom([]string{
			"replace %s with %s", "migrate from %s to %s", "install %s then remove %s", "install %s instead of %s", "install %s before %s",
			"install %s but not %s", "install %s without %s", "use %s for %s", "install %s for %s", "remove %s and install %s", "install %s, not %s",
		}).Draw(rt, "form")
		if a, b := key(t, fmt.Sprintf(form, two[0], two[1])), key(t, fmt.Sprintf(form, two[1], two[0])); a == b {
			rt.Fatalf("both ways [%s]", a)
		}
	})
}

func TestKeyDependsOnNegation(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := names(rt, 2)
		plain := "install " + strings.Join(list, " ")
		at := rapid.IntRange(1, len(list)-1).Draw(rt, "at")
		for _, no := range []string{"without", "not", "except", "but not", "no", "never", "unless"} {
			other := "install " + strings.Join(list[:at], " ") + " " + no + " " + strings.Join(list[at:], " ")
			if a, b := key(t, plain), key(t, other); a == b {
				rt.Fatalf("%q and %q are both [%s]", plain, other, a)
			}
		}
		for _, no := range []string{"do not ", "don't ", "never ", "please do not "} {
			if a, b := key(t, plain), key(t, no+plain); a == b {
				rt.Fatalf("with %q both are [%s]", no, a)
			}
		}
	})
}

func TestKeyIgnoresPoliteness(t *testing.T) {
	requests := append(readPairs(t, "testdata/pairs_develop.tsv"), readPairs(t, "testdata/pairs_report.tsv")...)
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.SampledFrom(requests).Draw(rt, "request")
		a, ok := cachekey.Compute(p.a, debian(t))
		if !ok || strings.HasSuffix(a.String(), "?") {
			return
		}
		polite := rapid.SampledFrom([]string{"please %s", "%s please", "hey, %s", "%s, thank you", "ok cortex %s", "  %s  ", "%s!", "just %s now"}).Draw(rt, "how")
		if b, ok := cachekey.Compute(fmt.Sprintf(polite, p.a), debian(t)); !ok || a != b {
			rt.Fatalf("%q: [%s] and [%s]", fmt.Sprintf(polite, p.a), a, b)
		}
	})
}

func TestKeyHash(t *testing.T) {
	a, b, c := key(t, "install nginx"), key(t, "add nginx"), key(t, "install git")
	if a.Hash() != b.Hash() || a.Hash() == c.Hash() || len(a.Hash()) != 32 {
		t.Errorf("hashes %s, %s, %s", a.Hash(), b.Hash(), c.Hash())
	}
}

func FuzzOf(f *testing.F) {
	for _, path := range []string{"testdata/pairs_develop.tsv", "testdata/pairs_report.tsv"} {
		for _, p := range readPairs(f, path) {
			f.Add(p.a)
			f.Add(p.b)
		}
	}
	f.Fuzz(func(t *testing.T, words string) {
		v := debian(t)
		k, ok := cachekey.Compute(words, v)
		if !ok {
			return
		}
		if again, ok := cachekey.Compute(k.String(), v); !ok || again != k {
			t.Errorf("%q is [%s], which is [%s], %v", words, k, again, ok)
		}
		if !strings.Contains(k.String(), "not") && strings.Contains(" "+strings.ToLower(words)+" ", " not ") {
			t.Errorf("%q lost its negation: [%s]", words, k)
		}
		for i := range len(words) { // a digit never changes unnoticed
			if words[i] < '0' || words[i] > '8' {
				continue
			}
			other := words[:i] + string(words[i]+1) + words[i+1:]
			if o, ok := cachekey.Compute(other, v); ok && o == k {
				t.Errorf("%q and %q are both [%s]", words, other, k)
			}
		}
	})
}

func BenchmarkOf(b *testing.B) {
	v := debian(b)
	for b.Loop() {
		cachekey.Compute("could you please install curl, wget and jq on this machine", v)
	}
}
