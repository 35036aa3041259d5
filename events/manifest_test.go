package events_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"cortex/events"
)

func TestManifestValidate(t *testing.T) {
	file := func(path string) events.Manifest {
		return events.Manifest{Files: []events.ManifestFile{{Path: path, Content: []byte("x")}}}
	}
	var many events.Manifest
	for i := range events.MaxPackagesPerManifest + 1 {
		many.Packages = append(many.Packages, events.PackageRef{Name: events.PackageName(fmt.Sprintf("p%d", i))})
	}
	large := file("/etc/apt/sources.list")
	large.Files[0].Content = []byte(strings.Repeat("x", events.MaxManifestFileBytes+1))
	for name, m := range map[string]events.Manifest{
		"option as a name":  {Packages: []events.PackageRef{{Name: "-y"}}},
		"named twice":       {Packages: []events.PackageRef{{Name: "sl", Version: "1"}, {Name: "sl", Version: "2"}}},
		"version of a hold": {Holds: []events.PackageRef{{Name: "sl", Version: "1"}}},
		"too many":          many,
		"too large":         large,
		"another file":      file("/etc/shadow"),
		"configuration":     file("/etc/apt/apt.conf.d/99evil"),
		"path that climbs":  file("/etc/apt/keyrings/../apt.conf"),
		"directory":         file("/etc/apt/keyrings/"),
		"deeper":            file("/etc/apt/keyrings/x/y"),
		"not under /etc":    file("/usr/share/keyrings/x.gpg"),
		"both parts":        {Packages: []events.PackageRef{{Name: "sl"}}, Files: file("/etc/apt/sources.list").Files},
	} {
		if err := (events.Intent{Verb: events.VerbImport, Manifest: &m}).Validate(); !errors.Is(err, events.ErrUsage) {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
	many.Packages = many.Packages[1:]
	large.Files[0].Content = large.Files[0].Content[1:]
	for name, m := range map[string]events.Manifest{"packages": many, "a file": large, "nothing": {}} {
		if err := (events.Intent{Verb: events.VerbImport, Manifest: &m}).Validate(); err != nil {
			t.Errorf("%s at the limit: %v", name, err)
		}
	}
	for name, in := range map[string]events.Intent{
		"no manifest":           {Verb: events.VerbImport},
		"packages besides":      {Verb: events.VerbImport, Manifest: &events.Manifest{}, Packages: []events.PackageRef{{Name: "sl"}}},
		"manifest of install":   {Verb: events.VerbInstall, Manifest: &events.Manifest{}, Packages: []events.PackageRef{{Name: "sl"}}},
		"install that fetches":  {Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "sl"}}, Options: events.Options{Refresh: true}},
		"import that cascades":  {Verb: events.VerbImport, Manifest: &events.Manifest{}, Options: events.Options{Cascade: true}},
		"import of a target":    {Verb: events.VerbImport, Manifest: &events.Manifest{}, Target: txn},
		"import after position": {Verb: events.VerbImport, Manifest: &events.Manifest{}, RollbackTo: 3},
	} {
		if err := in.Validate(); !errors.Is(err, events.ErrUsage) {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
}
