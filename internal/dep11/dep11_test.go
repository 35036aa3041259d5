package dep11_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"cortex/internal/dep11"
)

// text is written as appstream-generator writes it.
const text = `---
File: DEP-11
Version: '0.16'
Origin: debian-bookworm-main
---
Type: desktop-application
ID: org.gnome.gimp
Package: gimp
Name:
  de: Bildbearbeitung
  C: 'Image: Editor'
  fr: Éditeur
Summary:
  C: "Create images and edit
    photographs - and more:
    much more"
  de: >-
    Bilder
Description:
  C: '<p>Package: none</p>'
Keywords:
  de:
  - Bild
  C:
  - image
  - 'photo'
Categories:
- Graphics
- 2DGraphics
Icon:
  cached:
  - name: gimp.png
    width: 64
Screenshots:
- default: true
  caption:
    C: Name
Provides:
  binaries:
  - gimp
---
Type: generic
Package: usbrelay
Name:
  C: usbrelay
Provides:
  modaliases:
  - usb:v16C0p05DFd*
  - "hid:b0003g0001v000016C0p000005DF"
  mediatypes:
  - image/png
---
Type: codec
ID: without.package
`

func parse(t *testing.T, s string) []dep11.Component {
	t.Helper()
	var got []dep11.Component
	if err := dep11.Parse(strings.NewReader(s), func(c dep11.Component) { got = append(got, c) }); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestParse(t *testing.T) {
	want := []dep11.Component{
		{
			Package: "gimp", Type: "desktop-application", Name: "Image: Editor", Summary: "Create images and edit photographs - and more: much more", Languages: 3,
			Keywords: []string{"image", "photo"}, Categories: []string{"Graphics", "2DGraphics"},
		},
		{Package: "usbrelay", Type: "generic", Name: "usbrelay", Languages: 1, Modaliases: []string{"usb:v16C0p05DFd*", "hid:b0003g0001v000016C0p000005DF"}},
	}
	if diff := cmp.Diff(want, parse(t, text)); diff != "" {
		t.Error(diff)
	}
}

// TestParseAgreesWithYAML compares the fields with those that a YAML parser reads.
func TestParseAgreesWithYAML(t *testing.T) {
	var want []dep11.Component
	for d := yaml.NewDecoder(strings.NewReader(text)); ; {
		var y struct {
			Package    string              `yaml:"Package"`
			Type       string              `yaml:"Type"`
			Name       map[string]string   `yaml:"Name"`
			Summary    map[string]string   `yaml:"Summary"`
			Keywords   map[string][]string `yaml:"Keywords"`
			Categories []string            `yaml:"Categories"`
			Provides   struct {
				Modaliases []string `yaml:"modaliases"`
			} `yaml:"Provides"`
		}
		if err := d.Decode(&y); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if y.Package != "" {
			want = append(want, dep11.Component{Package: y.Package, Type: y.Type, Name: y.Name["C"], Summary: y.Summary["C"], Languages: len(y.Name), Keywords: y.Keywords["C"], Categories: y.Categories, Modaliases: y.Provides.Modaliases})
		}
	}
	if len(want) != 2 {
		t.Fatalf("%d documents", len(want))
	}
	if diff := cmp.Diff(want, parse(t, text)); diff != "" {
		t.Error(diff)
	}
}

func TestParseReturnsReadError(t *testing.T) {
	cause := errors.New("disk error")
	if err := dep11.Parse(iotest.ErrReader(cause), func(dep11.Component) { t.Error("a component") }); !errors.Is(err, cause) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(text)
	f.Add("Package: ''\n---\nPackage: a\nSummary:\n  C:\n   - x\n    y\n- z\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range parse(t, s) {
			if c.Package != "" && !strings.Contains(s, c.Package) || len(c.Summary) > 2*dep11.MaxLineBytes {
				t.Errorf("%q: %+v", s, c)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	long := strings.Repeat(text, 1000)
	b.SetBytes(int64(len(long)))
	for b.Loop() {
		if err := dep11.Parse(strings.NewReader(long), func(dep11.Component) {}); err != nil {
			b.Fatal(err)
		}
	}
}
