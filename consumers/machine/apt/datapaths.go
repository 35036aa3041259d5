package apt

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"cortex/events"
)

// DataPaths lists the directories and files under /var/lib, /var/spool and /srv that have
// the name of a package. No undo restores such data.
func (m *Machine) DataPaths(_ context.Context, names []events.PackageName) (map[events.PackageName][]string, error) {
	out := map[events.PackageName][]string{}
	for _, n := range names {
		if err := n.Validate(); err != nil {
			return nil, err
		}
		for _, dir := range []string{"/var/lib", "/var/spool", "/srv"} {
			p := path.Join(dir, string(n))
			if _, err := os.Lstat(m.hostPath(p)); err == nil {
				out[n] = append(out[n], p)
			}
		}
	}
	return out, nil
}

// Services lists the systemd services of the named packages, sorted.
func (m *Machine) Services(_ context.Context, keys []events.PackageKey) ([]string, error) {
	var out []string
	for _, k := range keys {
		if err := k.Name.Validate(); err != nil {
			return nil, err
		}
		for _, name := range []string{string(k.Name), k.String()} {
			b, err := os.ReadFile(m.hostPath("/var/lib/dpkg/info/" + name + ".list"))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for line := range strings.Lines(string(b)) {
				line = strings.TrimSuffix(line, "\n")
				if strings.Contains(line, "/systemd/system/") && strings.HasSuffix(line, ".service") {
					out = append(out, SanitizeOutput(path.Base(line)))
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
