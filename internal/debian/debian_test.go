package debian_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"cortex/internal/debian"
)

const limit = 1 << 10

func stanzas(t *testing.T, text string, wanted ...string) []map[string]string {
	t.Helper()
	var got []map[string]string
	err := debian.Stanzas(strings.NewReader(text), limit, wanted, func(f map[string]string) { got = append(got, maps.Clone(f)) })
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestStanzas(t *testing.T) {
	text := "\n\nPackage: a\nIgnored: x\n continued\nDescription: short\n long\n .\n\tmore\nVersion:1\nVersion: 2\r\n\n\nOther: no\n\nno colon\nPackage:  b  \nno colon again\n not a continuation"
	want := []map[string]string{
		{"Package": "a", "Description": "short\n long\n .\n\tmore", "Version": "2"},
		{"Package": "b"},
	}
	if diff := cmp.Diff(want, stanzas(t, text, "Package", "Description", "Version")); diff != "" {
		t.Error(diff)
	}
}

func TestStanzasCutsLongFields(t *testing.T) {
	text := "A: " + strings.Repeat("x", 2*limit) + "\nB: y\n" + strings.Repeat(" "+strings.Repeat("z", 99)+"\n", 20)
	got := stanzas(t, text, "A", "B")
	if len(got) != 1 || len(got[0]["A"]) != limit-len("A: ") || len(got[0]["B"]) > limit || len(got[0]["B"]) < limit-101 {
		t.Errorf("%d stanzas, A %d, B %d", len(got), len(got[0]["A"]), len(got[0]["B"]))
	}
}

func TestStanzasReturnsReadError(t *testing.T) {
	cause := errors.New("disk error")
	err := debian.Stanzas(iotest.ErrReader(cause), limit, []string{"A"}, func(map[string]string) { t.Error("a stanza") })
	if !errors.Is(err, cause) {
		t.Error(err)
	}
}

func TestRelationNames(t *testing.T) {
	for field, want := range map[string][]string{
		"":                             nil,
		" , |, ":                       nil,
		"a":                            {"a"},
		"a (>= 1), b:any | c [amd64]":  {"a", "b", "c"},
		"a(>=1)|b<!nocheck>,\n c <!x>": {"a", "b", "c"},
		"libc6 (>= 2.34),\n libx":      {"libc6", "libx"},
	} {
		if got := debian.RelationNames(field); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", field, got, want)
		}
	}
}

func FuzzStanzas(f *testing.F) {
	f.Add("Package: a\nDepends: b,\n c\n\nPackage: d\n")
	f.Add("Package\n: x\n Package: y")
	f.Fuzz(func(t *testing.T, text string) {
		for _, fields := range stanzas(t, text, "Package", "Depends") {
			if len(fields) == 0 || len(fields) > 2 {
				t.Errorf("%q: fields %q", text, fields)
			}
			for name, value := range fields {
				if len(value) > limit || name != "Package" && name != "Depends" {
					t.Errorf("%q: field %q has %d bytes", text, name, len(value))
				}
				first, _, _ := strings.Cut(value, "\n")
				if !strings.Contains(text, first) {
					t.Errorf("%q: field %q is %q", text, name, value)
				}
			}
		}
	})
}

func FuzzRelationNames(f *testing.F) {
	f.Add("a (>= 1), b:any | c [amd64] <!nocheck>")
	f.Fuzz(func(t *testing.T, field string) {
		for _, name := range debian.RelationNames(field) {
			if name == "" || strings.ContainsAny(name, " \t\n(:[<,|") || !strings.Contains(field, name) {
				t.Errorf("%q: name %q", field, name)
			}
		}
	})
}
