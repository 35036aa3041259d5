package manifest

import (
	"bytes"
	"slices"
	"strings"

	"cortex/events"
)

// MismatchReason is the way in which an entry differs.
type MismatchReason string

// The reasons.
const (
	Missing   MismatchReason = "missing"   // wanted, not present
	Extra     MismatchReason = "extra"     // present, not wanted
	Changed   MismatchReason = "changed"   // present with another version or content
	Automatic MismatchReason = "automatic" // installed, but marked as automatic
)

// Mismatch is one entry that differs from the wanted state.
type Mismatch struct {
	ItemKind string         `json:"kind"` // package, hold or file
	Name     string         `json:"name"` // NAME[:ARCH], or the path
	Reason   MismatchReason `json:"what"`
	Want     string         `json:"want,omitempty"` // the version
	Have     string         `json:"have,omitempty"` // the version
}

// Compare returns the entries of want that are missing or different in have, and those that
// only have contains. Packages come first, then holds, then files, each sorted by name.
func Compare(want, have Document) []Mismatch {
	out := comparePackages(want, have)
	at := len(out)
	for _, r := range want.Holds {
		if !hasHold(have, r) {
			out = append(out, Mismatch{ItemKind: "hold", Name: nameWithArch(r), Reason: Missing})
		}
	}
	for _, r := range have.Holds {
		if !hasHold(want, r) {
			out = append(out, Mismatch{ItemKind: "hold", Name: nameWithArch(r), Reason: Extra})
		}
	}
	sortByName(out[at:])
	at = len(out)
	for _, f := range want.Files {
		if i := fileIndex(have.Files, f.Path); i < 0 {
			out = append(out, Mismatch{ItemKind: "file", Name: f.Path, Reason: Missing})
		} else if !bytes.Equal(have.Files[i].Content, f.Content) {
			out = append(out, Mismatch{ItemKind: "file", Name: f.Path, Reason: Changed})
		}
	}
	for _, f := range have.Files {
		if fileIndex(want.Files, f.Path) < 0 {
			out = append(out, Mismatch{ItemKind: "file", Name: f.Path, Reason: Extra})
		}
	}
	sortByName(out[at:])
	return out
}

func comparePackages(want, have Document) []Mismatch {
	var out []Mismatch
	manual := map[string]events.Version{}
	for _, r := range have.Packages {
		manual[nameWithArch(r)] = r.Version
	}
	wanted := map[string]bool{}
	for _, r := range want.Packages {
		n := nameWithArch(r)
		wanted[n] = true
		d := Mismatch{ItemKind: "package", Name: n, Want: string(r.Version)}
		v, isManual := manual[n]
		auto, isAutomatic := have.automatic[n]
		if d.Have = string(v); isAutomatic {
			d.Have = string(auto)
		}
		switch {
		case !isManual && !isAutomatic:
			d.Reason = Missing
		case r.Version != "" && d.Have != "" && d.Have != d.Want:
			d.Reason = Changed
		case isAutomatic:
			d.Reason = Automatic
		default:
			continue
		}
		out = append(out, d)
	}
	for _, r := range have.Packages {
		if n := nameWithArch(r); !wanted[n] {
			out = append(out, Mismatch{ItemKind: "package", Name: n, Reason: Extra, Have: string(r.Version)})
		}
	}
	sortByName(out)
	return out
}

func sortByName(d []Mismatch) {
	slices.SortStableFunc(d, func(a, b Mismatch) int { return strings.Compare(a.Name, b.Name) })
}

func hasHold(m Document, r events.PackageRef) bool { return slices.Contains(m.Holds, r) }

func fileIndex(files []AptFile, path string) int {
	return slices.IndexFunc(files, func(f AptFile) bool { return f.Path == path })
}
