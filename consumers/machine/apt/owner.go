package apt

import (
	"context"
	"strings"

	"cortex/events"
)

// OwningPackage gives the package that a file is of, "" when none is. Paths below /bin,
// /sbin and /lib are looked for as dpkg may know them, too.
func (m *Machine) OwningPackage(ctx context.Context, path string) events.PackageName {
	if events.ValidatePath(path) != nil || strings.ContainsAny(path, "*?[\\") {
		return ""
	}
	for _, p := range []string{path, strings.TrimPrefix(path, "/usr")} {
		out, err := m.runReadOnly(ctx, ownerCommand(p))
		if err != nil {
			continue
		}
		name, _, _ := strings.Cut(string(out), ":")
		if n := events.PackageName(name); n.Validate() == nil {
			return n
		}
	}
	return ""
}
