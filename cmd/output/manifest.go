package output

import (
	"fmt"
	"io"

	"cortex/consumers/machine/apt"
	"cortex/events"
	"cortex/producers/manifest"
)

// ManifestMismatches prints how a machine differs from a manifest.
func ManifestMismatches(w io.Writer, list []manifest.Mismatch) {
	if len(list) == 0 {
		fmt.Fprintln(w, "no difference")
		return
	}
	var rows [][]string
	for _, d := range list {
		rows = append(rows, []string{d.ItemKind, d.Name, mismatchText(d)})
	}
	table(w, "", rows)
}

func mismatchText(d manifest.Mismatch) string {
	switch d.Reason {
	case manifest.Missing:
		if d.Want != "" {
			return "missing; the manifest lists " + d.Want
		}
		return "missing"
	case manifest.Extra:
		if d.Have != "" {
			return d.Have + ", not in the manifest"
		}
		return "not in the manifest"
	case manifest.Automatic:
		return d.Have + ", marked as automatically installed"
	case manifest.Changed:
		switch {
		case d.Have == "":
			return "the content differs"
		case apt.CompareVersions(events.Version(d.Have), events.Version(d.Want)) > 0:
			return d.Have + ", newer than " + d.Want
		}
		return d.Have + ", older than " + d.Want
	}
	return string(d.Reason)
}
