package output

import (
	"fmt"
	"io"

	"cortex/events"
	"cortex/producers/manifest"
)

// ManifestMismatches tells how a machine is not what a manifest says; compare orders
// versions.
func ManifestMismatches(w io.Writer, list []manifest.Mismatch, compare func(a, b events.Version) int) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no difference")
		return
	}
	var rows [][]string
	for _, d := range list {
		rows = append(rows, []string{d.ItemKind, d.Name, mismatchText(d, compare)})
	}
	table(w, "", rows)
}

func mismatchText(d manifest.Mismatch, compare func(a, b events.Version) int) string {
	switch d.Reason {
	case manifest.Missing:
		if d.Want != "" {
			return "missing, " + d.Want + " is wanted"
		}
		return "missing"
	case manifest.Extra:
		if d.Have != "" {
			return d.Have + ", not in the manifest"
		}
		return "not in the manifest"
	case manifest.Automatic:
		return d.Have + ", but not as asked for"
	case manifest.Changed:
		switch {
		case d.Have == "":
			return "has another content"
		case compare(events.Version(d.Have), events.Version(d.Want)) > 0:
			return d.Have + ", newer than " + d.Want
		}
		return d.Have + ", older than " + d.Want
	}
	return string(d.Reason)
}
