package manifest

import (
	"bytes"
	"slices"
	"strings"

	"cortex/events"
)

// What says in which way two manifests differ.
type What string

// The ways.
const (
	Missing   What = "missing"   // wanted and not there
	Extra     What = "extra"     // there and not wanted
	Changed   What = "changed"   // there in another version, or with another content
	Automatic What = "automatic" // there, but not as asked for
)

// Difference is one thing that is not as it is wanted.
type Difference struct {
	Kind string `json:"kind"` // package, hold or file
	Name string `json:"name"` // NAME[:ARCH], or the path
	What What   `json:"what"`
	Want string `json:"want,omitempty"` // the version
	Have string `json:"have,omitempty"` // the version
}

// Compare tells what of want is otherwise in have, and what is only in have.
// Packages come first, then holds, then files, each by name.
func Compare(want, have Manifest) []Difference {
	out := packages(want, have)
	at := len(out)
	for _, r := range want.Holds {
		if !holds(have, r) {
			out = append(out, Difference{Kind: "hold", Name: name(r), What: Missing})
		}
	}
	for _, r := range have.Holds {
		if !holds(want, r) {
			out = append(out, Difference{Kind: "hold", Name: name(r), What: Extra})
		}
	}
	sortByName(out[at:])
	at = len(out)
	for _, f := range want.Files {
		if i := index(have.Files, f.Path); i < 0 {
			out = append(out, Difference{Kind: "file", Name: f.Path, What: Missing})
		} else if !bytes.Equal(have.Files[i].Content, f.Content) {
			out = append(out, Difference{Kind: "file", Name: f.Path, What: Changed})
		}
	}
	for _, f := range have.Files {
		if index(want.Files, f.Path) < 0 {
			out = append(out, Difference{Kind: "file", Name: f.Path, What: Extra})
		}
	}
	sortByName(out[at:])
	return out
}

func packages(want, have Manifest) []Difference {
	var out []Difference
	there := map[string]events.Version{}
	for _, r := range have.Packages {
		there[name(r)] = r.Version
	}
	wanted := map[string]bool{}
	for _, r := range want.Packages {
		n := name(r)
		wanted[n] = true
		d := Difference{Kind: "package", Name: n, Want: string(r.Version)}
		v, asked := there[n]
		auto, automatic := have.automatic[n]
		if d.Have = string(v); automatic {
			d.Have = string(auto)
		}
		switch {
		case !asked && !automatic:
			d.What = Missing
		case r.Version != "" && d.Have != "" && d.Have != d.Want:
			d.What = Changed
		case automatic:
			d.What = Automatic
		default:
			continue
		}
		out = append(out, d)
	}
	for _, r := range have.Packages {
		if n := name(r); !wanted[n] {
			out = append(out, Difference{Kind: "package", Name: n, What: Extra, Have: string(r.Version)})
		}
	}
	sortByName(out)
	return out
}

func sortByName(d []Difference) {
	slices.SortStableFunc(d, func(a, b Difference) int { return strings.Compare(a.Name, b.Name) })
}

func holds(m Manifest, r events.PackageRef) bool { return slices.Contains(m.Holds, r) }

func index(files []File, path string) int {
	return slices.IndexFunc(files, func(f File) bool { return f.Path == path })
}
