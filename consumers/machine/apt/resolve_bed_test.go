package apt_test

import (
	"errors"
	"strings"
	"testing"

	"cortex/events"
)

func TestCheckNames(t *testing.T) {
	b := newBed(t)
	b.Bed.Run(t, "/usr/bin/dpkg", "--add-architecture", "i386")
	b.apt("update")
	b.apt("install", "toy-epoch=9.0", "toy-app=1.0", "toy-lib=1.0")
	b.apt("remove", "toy-app")
	for _, name := range []string{
		"cowsay", "cowsay=3.03", "toy-g++", "toy-g++=1.0", "cowsay:amd64", "cowsay:all", "toy-multi:i386", "toy-multi:i386=1.0", "toy-multi:amd64=2.0",
		"toy-virtual", "toy-virtual-one", "toy-epoch=9.0", "toy-epoch=1:1.0", "toy-rc=2.0~rc1", "toy-app", "dpkg",
	} {
		if err := b.CheckNames(t.Context(), []events.PackageRef{target(name).PackageRef}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, hint := range map[string]string{
		"nosuch-package-here": "apt-cache search", "cowsya": "did you mean cowsay?", "cowsay+": "did you mean cowsay?", "c.wsay": "did you mean cowsay?",
		"toy-g+": "did you mean toy-g++", "cowsay=3.04": "offered: 3.03", "cowsay:mips": "", "cowsay:i386": "", "sl:i386": "", "toy-multi:i386=9": "offered: 2.0, 1.0",
		"toy-virtual=1.0": "", "toy-lib=3": "offered: 2.0, 1.0",
	} {
		err := b.CheckNames(t.Context(), []events.PackageRef{target("sl").PackageRef, target("cowsay").PackageRef, target(name).PackageRef})
		if !errors.Is(err, events.ErrNotFound) || !strings.HasPrefix(err.Error(), name+": ") || !strings.Contains(events.HintOf(err), hint) {
			t.Errorf("%s: %v (%s)", name, err, events.HintOf(err))
		}
	}
	for _, name := range []events.PackageName{"-oDPkg::Pre-Invoke::=id", "./x.deb", "*", "cowsay-"} {
		if err := b.CheckNames(t.Context(), []events.PackageRef{{Name: name}}); err == nil || errors.Is(err, events.ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A version that left the archive is accepted only while it is installed.
func TestCheckNamesOfReplacedVersion(t *testing.T) {
	b := newBed(t)
	b.apt("install", "toy-lib=1.0", "toy-epoch=9.0")
	b.OfferNewest(t)
	if err := b.CheckNames(t.Context(), []events.PackageRef{target("toy-lib=1.0").PackageRef}); err != nil {
		t.Errorf("the installed version: %v", err)
	}
	b.apt("install", "toy-lib")
	err := b.CheckNames(t.Context(), []events.PackageRef{target("toy-lib=1.0").PackageRef})
	if !errors.Is(err, events.ErrNotFound) || events.HintOf(err) != "offered: 2.0" {
		t.Errorf("%v (%s)", err, events.HintOf(err))
	}
}

func TestPackageNames(t *testing.T) {
	b := newBed(t)
	names, err := b.PackageNames(t.Context(), "toy-pair")
	if err != nil || strings.Join(names, " ") != "toy-pair-a toy-pair-b" {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := b.PackageNames(t.Context(), "-o"); !errors.Is(err, events.ErrUsage) {
		t.Errorf("an option: %v", err)
	}
}
