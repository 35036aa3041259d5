package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"cortex/events"
	"cortex/internal/debian"
)

// marksFile holds apt's automatic marks.
const marksFile = "/var/lib/apt/extended_states"

const stateFormat = `${Package}\t${Architecture}\t${Version}\t${db:Status-Want}\t${db:Status-Eflag}\t${db:Status-Status}\n`

// Inventory reads the state of every package from dpkg-query, which also reads dpkg's
// journal, and apt's automatic marks from extended_states. The result is cached until
// these files change.
func (m *Machine) Inventory(ctx context.Context) (events.Inventory, error) {
	inv, err := m.inventory.get(m, func() (events.Inventory, error) { return m.readInventory(ctx) })
	return maps.Clone(inv), err
}

func (m *Machine) readInventory(ctx context.Context) (events.Inventory, error) {
	native, err := m.NativeArch(ctx)
	if err != nil {
		return nil, err
	}
	out, err := m.runReadOnly(ctx, queryCommand(stateFormat))
	if err != nil && !(len(out) == 0 && strings.Contains(err.Error(), "no packages found")) {
		return nil, err // a partial list would look like removals
	}
	inv, err := parseStates(out, native)
	if err != nil {
		return nil, err
	}
	marks, err := os.ReadFile(m.hostPath(marksFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read automatic marks: %w", err)
	}
	for k := range parseAutoMarks(marks, native) {
		if s, ok := inv[k]; ok && s.Status != events.StatusConfigFiles && s.Status != events.StatusNotInstalled {
			s.Auto = true
			inv[k] = s
		}
	}
	return inv, nil
}

// parseStates parses the output of dpkg-query in stateFormat, without packages of which
// dpkg only has the name.
func parseStates(out []byte, native events.Architecture) (events.Inventory, error) {
	inv := events.Inventory{}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 6 {
			return nil, &events.Error{Op: "apt.parseStates", Kind: events.ErrApt, Subject: dpkgQuery, Err: fmt.Errorf("unexpected line %q", SanitizeOutput(line))}
		}
		s := events.State{
			Version: events.Version(f[2]), Want: events.Want(f[3]),
			Flag: events.ErrorFlag(f[4]), Status: events.Status(f[5]),
		}
		if s.Status == events.StatusNotInstalled && s.Want != events.WantInstall && s.Want != events.WantHold {
			continue
		}
		inv[keyOf(f[0], f[1], native)] = s
	}
	return inv, nil
}

func keyOf(name, arch string, native events.Architecture) events.PackageKey {
	if arch == "all" || arch == "" {
		arch = string(native)
	}
	return events.PackageKey{Name: events.PackageName(name), Arch: events.Architecture(arch)}
}

// maxFieldBytes bounds one field of a parsed file or output.
const maxFieldBytes = 64 << 10

// parseAutoMarks parses apt's extended_states: deb822 stanzas.
func parseAutoMarks(data []byte, native events.Architecture) map[events.PackageKey]bool {
	marks := map[events.PackageKey]bool{}
	_ = debian.Stanzas(bytes.NewReader(data), maxFieldBytes, []string{"Package", "Architecture", "Auto-Installed"}, func(fields map[string]string) {
		if fields["Package"] != "" && fields["Auto-Installed"] == "1" {
			marks[keyOf(fields["Package"], fields["Architecture"], native)] = true
		}
	})
	return marks
}

// ListsEmpty reports whether apt has no package lists, as on a fresh image.
func (m *Machine) ListsEmpty() bool {
	entries, err := os.ReadDir(m.hostPath("/var/lib/apt/lists"))
	if err != nil {
		return true
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "_Packages") || strings.HasSuffix(e.Name(), "Packages") {
			return false
		}
	}
	return true
}
