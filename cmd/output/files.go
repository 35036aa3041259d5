package output

import (
	"fmt"
	"io"
	"strings"

	"cortex/events"
)

// FileChanges prints changes of paths, one per line.
func FileChanges(w io.Writer, changes []events.FileChange) {
	var rows [][]string
	for _, c := range changes {
		rows = append(rows, []string{fileAction(c), c.Path, fileNote(c)})
	}
	table(w, "  ", rows)
}

func fileAction(c events.FileChange) string {
	b, a := c.Before, c.After
	switch {
	case !b.Exists():
		return "create"
	case !a.Exists():
		return "delete"
	case a.Kind != b.Kind || a.Digest != b.Digest || a.Link != b.Link:
		return "write"
	}
	return "mode"
}

// fileNote returns the kind of a path unless it is a file, and changes of mode and owner.
func fileNote(c events.FileChange) string {
	var notes []string
	b, a := c.Before, c.After
	is := a
	if !a.Exists() {
		is = b
	}
	switch is.Kind {
	case events.FileDir:
		notes = append(notes, "directory")
	case events.FileLink:
		notes = append(notes, "→ "+is.Link)
	case events.FileOther:
		notes = append(notes, "device or socket")
	case events.FileRegular, events.FileAbsent:
	}
	if is.Secret {
		notes = append(notes, "secret")
	}
	if is.NotStored {
		notes = append(notes, "too large to save")
	}
	if a.Exists() && b.Exists() && a.Mode != b.Mode {
		notes = append(notes, fmt.Sprintf("mode %04o → %04o", b.Mode, a.Mode))
	}
	if a.Exists() && b.Exists() && (a.UID != b.UID || a.GID != b.GID) {
		notes = append(notes, fmt.Sprintf("owner %d:%d → %d:%d", b.UID, b.GID, a.UID, a.GID))
	}
	return strings.Join(notes, ", ")
}

// SettingChanges prints changes of settings, one per line; secrets are masked.
func SettingChanges(w io.Writer, changes []events.SettingChange) {
	var rows [][]string
	for _, c := range changes {
		rows = append(rows, []string{string(c.Kind), c.Name, c.Kind.Display(c.Before) + " → " + c.Kind.Display(c.After)})
	}
	table(w, "  ", rows)
}
