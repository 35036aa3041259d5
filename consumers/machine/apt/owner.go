package apt

import (
	"context"
	"strings"

	"cortex/events"
)

// OwningPackage returns the package that owns a file; "" if there is none. For a path
// below /usr it also tries the path without /usr, under which dpkg may know the file.
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
