package apt

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"cortex/events"
)

func FuzzParseStates(f *testing.F) {
	f.Add("cowsay\tall\t3.03\tinstall\tok\tinstalled\ntoy\ti386\t1:2~rc1-1\thold\treinstreq\thalf-installed\n")
	f.Add("forgotten\t\t\tunknown\tok\tnot-installed\n")
	f.Add("\t\t\t\t\t\n")
	f.Fuzz(func(t *testing.T, s string) {
		inv, err := parseStates([]byte(s), "amd64")
		if err != nil && !errors.Is(err, events.ErrApt) {
			t.Fatalf("%q is %v", s, err)
		}
		if len(inv) > strings.Count(s, "\n")+1 {
			t.Fatalf("%q returns %d packages", s, len(inv))
		}
		for k := range inv {
			if k.Arch == "all" || k.Arch == "" {
				t.Fatalf("%q returns %s", s, k)
			}
		}
	})
}

func FuzzParseAutoMarks(f *testing.F) {
	f.Add("Package: a\nArchitecture: amd64\nAuto-Installed: 1\n\nPackage: b\nArchitecture: all\nAuto-Installed: 0\n")
	f.Add("Auto-Installed: 1\n\nPackage:\n")
	f.Fuzz(func(t *testing.T, s string) {
		for k, auto := range parseAutoMarks([]byte(s), "amd64") {
			if !auto || k.Name == "" || !strings.Contains(s, string(k.Name)) {
				t.Fatalf("%q returns %s %v", s, k, auto)
			}
		}
	})
}

func FuzzParseStatus(f *testing.F) {
	for _, s := range []string{
		"pmstatus:toy-lib:40.0000:Unpacking toy-lib (amd64)\n", "pmstatus:libc6:amd64:60:Configuring libc6\n",
		"dlstatus:1:20.5:Retrieving file 1 of 2\n", "pmerror:/var/cache/apt/archives/a.deb :50:no room\n",
		"pmconffile:/etc/a.conf:33.3:'/etc/a.conf' '/etc/a.conf.dpkg-new' 1 1\n", "pmstatus:a:NaN:b", "pmstatus:a:-0:b", "::::",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := parseStatus(s)
		if ok && !(p.Percent >= 0 && p.Percent <= 100) {
			t.Fatalf("%q returns %v percent", s, p.Percent)
		}
		if !utf8.ValidString(p.Message+p.Package) || strings.ContainsAny(p.Message+p.Package, "\x1b\r") {
			t.Fatalf("%q returns %+v", s, p)
		}
	})
}

func FuzzParseHook(f *testing.F) {
	f.Add(`{"jsonrpc":"2.0","method":"org.debian.apt.hooks.hello","id":0,"params":{"versions":["0.1", "0.2"]}}` + "\n" +
		`{"jsonrpc":"2.0","method":"org.debian.apt.hooks.install.statistics","params":{"command":"install","search-terms":["toy-app"],"unknown-packages":[],"packages":[{"id":1,"name":"toy-app","architecture":"amd64","mode":"install","automatic":false,"versions":{"candidate":{"id":2,"version":"2.0","architecture":"amd64","pin":500,"origins":[{"archive":"toys","codename":"toys","version":"1","origin":"Toys","label":"Toys","site":""}]},"install":{"id":2,"version":"2.0","architecture":"amd64","pin":500,"origins":[{"archive":"toys","codename":"toys","version":"1","origin":"Toys","label":"Toys","site":""}]}}}]}}` + "\n" +
		`{"jsonrpc":"2.0","method":"org.debian.apt.hooks.bye","params":{}}`)
	f.Add(`{"method":".statistics","params":{"packages":[{"name":"-o","mode":"purge"}]}}`)
	f.Add("{}\n[]")
	f.Fuzz(func(t *testing.T, s string) {
		packages, err := parseHook([]byte(s))
		if err != nil && !errors.Is(err, events.ErrApt) {
			t.Fatalf("%q is %v", s, err)
		}
		for _, p := range packages {
			if c, err := p.change("amd64"); err == nil && (c.Name.Validate() != nil || c.Action == "") {
				t.Fatalf("%q returns %+v", s, c)
			}
		}
	})
}

func FuzzParseURIs(f *testing.F) {
	f.Add("'copy:/repo/./toy-epoch_1%253a1.0_amd64.deb' toy-epoch_1%3a1.0_amd64.deb 580 SHA256:00\n")
	f.Add("'x' a_b_c.deb -1\n'x' a_b.deb 1\n'x\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, u := range parseURIs(s) {
			if u.size < 0 || !strings.Contains(s, u.name) {
				t.Fatalf("%q returns %+v", s, u)
			}
		}
	})
}

func FuzzFailureReason(f *testing.F) {
	f.Add("Reading…\nE: Unable to locate package x\n")
	f.Add("dpkg: error processing package toy (--configure):\n installed toy package post-installation script subprocess returned error exit status 1\nE: Sub-process /usr/bin/dpkg returned an error code (1)\n")
	f.Add("dpkg: error processing package toy (--configure):")
	f.Add("The following packages have unmet dependencies:\n toy-app : Depends: toy-lib (>= 2.0) but 1.0 is to be installed\nE: Unable to correct problems, you have held broken packages.\n")
	f.Add("Package v is a virtual package provided by:\n a 1.0\n b 1.0\n\nE: Package 'v' has no installation candidate\n")
	f.Add("\x1b[1mE: \xff\n")
	f.Fuzz(func(t *testing.T, s string) {
		failed := errors.New("exit status 100")
		got := failureReason(s, failed)
		if got == "" || !utf8.ValidString(got) || strings.Contains(got, "\x1b") {
			t.Fatalf("%q becomes %q", s, got)
		}
		if err := planError(events.Step{}, s, failed); err == nil || err.Error() == "" {
			t.Fatalf("%q is not an error", s)
		}
		providers(s)
	})
}

func FuzzParseCache(f *testing.F) {
	f.Add("Package: cowsay\nVersions: \n3.03 (/var/lib/apt/lists/x_Packages) (/var/lib/dpkg/status)\nReverse Provides: \nmoo 1 (= )\n")
	f.Add("Package: a\nVersion: 1\nArchitecture: all\nInstalled-Size: 9223372036854775807\n")
	f.Add("a\tamd64\t12\tyes\t\t\n")
	f.Add("a set to manually installed.\n:x set to manually installed.\n")
	f.Fuzz(func(t *testing.T, s string) {
		for k, is := range parseShowpkg(s, "amd64") {
			if len(is.offered)+len(is.installed) > strings.Count(s, ")")+strings.Count(s, "/")+1 {
				t.Fatalf("%q returns %s in %d versions", s, k, len(is.offered))
			}
		}
		for k, size := range parseSizes(s, "amd64") {
			if size < 0 {
				t.Fatalf("%q returns %s %d bytes", s, k, size)
			}
		}
		for k, is := range parseInstalledInfos(s, "amd64") {
			if is.size < 0 {
				t.Fatalf("%q returns %s %d bytes", s, k, is.size)
			}
		}
		parseSetManual(s, "amd64")
	})
}
