package cachekey_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

var writeVocabulary = flag.Bool("write-vocabulary", false, "write testdata/vocabulary.gz anew from this machine's package indexes")

const vocabularyFile = "testdata/vocabulary.gz"

// vocabulary is that of Debian 12: the names of all packages, and the number of short
// descriptions with each word.
type vocabulary struct {
	names map[string]bool
	words map[string]int
}

func (v *vocabulary) IsPackage(name string) bool { return v.names[name] }
func (v *vocabulary) Frequency(word string) int  { return v.words[word] }

var load = sync.OnceValues(func() (*vocabulary, error) {
	raw, err := os.ReadFile(vocabularyFile)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	v := &vocabulary{map[string]bool{}, map[string]int{}}
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		w, count, counted := strings.Cut(lines.Text(), " ")
		if !counted {
			v.names[w] = true
			continue
		}
		if v.words[w], err = strconv.Atoi(count); err != nil {
			return nil, err
		}
	}
	return v, lines.Err()
})

func debian(t testing.TB) *vocabulary {
	t.Helper()
	v, err := load()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWriteVocabulary(t *testing.T) {
	if !*writeVocabulary {
		return // a tool in a test's clothes: CI takes a skip for something that should have run
	}
	dump, err := exec.Command("apt-cache", "dumpavail").Output()
	if err != nil {
		t.Fatal(err)
	}
	names, counts := map[string]bool{}, map[string]int{}
	for line := range strings.Lines(string(dump)) {
		if name, ok := strings.CutPrefix(line, "Package: "); ok {
			names[strings.TrimSpace(name)] = true
		}
		if text, ok := strings.CutPrefix(line, "Description: "); ok {
			for _, w := range slices.Compact(slices.Sorted(slices.Values(strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
				return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '+' && r != '.'
			})))) {
				if w = strings.Trim(w, "."); w != "" {
					counts[w]++
				}
			}
		}
	}
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintln(z, name)
	}
	for _, w := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintln(z, w, counts[w])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(vocabularyFile, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
