package testbed

import "fmt"

// withVersions returns two versions of a package that differ in nothing else.
func withVersions(p toyPackage, versions ...string) []toyPackage {
	var out []toyPackage
	for _, v := range versions {
		q := p
		q.Version = v
		out = append(out, q)
	}
	return out
}

const (
	failing = "echo this script fails on purpose >&2; exit 1"

	// The slow package creates a file and then waits for another one.
	slow = `[ "$1" = configure ] || exit 0
touch /run/toy-slow.waiting
while [ ! -e /run/toy-slow.go ]; do sleep 0.05; done`

	generateConfig = `if [ "$1" = configure ]; then
mkdir -p /var/lib/toy-app
[ -e /var/lib/toy-app/data ] || echo fresh > /var/lib/toy-app/data
echo "made by toy-app" > /etc/toy-app/generated
fi`
	removeGenerated = `if [ "$1" = purge ]; then rm -rf /var/lib/toy-app /etc/toy-app/generated; fi`
)

// toyPackages is the toy repository: each package is difficult in its own way.
func toyPackages() []toyPackage {
	list := []toyPackage{
		{Name: "cowsay", Version: "3.03", Arch: "all", Files: map[string]string{"/usr/games/cowsay": "#!/bin/sh\necho moo\n"}},
		{Name: "sl", Version: "5.02", Short: "a steam locomotive that runs across the terminal", Files: map[string]string{"/usr/games/sl": "#!/bin/sh\necho choo\n"}},
		{
			Name: "toy-app", Version: "1.0", Fields: "Depends: toy-lib (>= 1.0)\nRecommends: toy-extra\n",
			Files: map[string]string{
				"/etc/toy-app/main.conf": "setting = one\n", "/etc/toy-app/old.conf": "old\n", "/usr/bin/toy-app": "#!/bin/sh\necho one\n",
			},
			Conffiles: []string{"/etc/toy-app/main.conf", "/etc/toy-app/old.conf"}, Postinst: generateConfig, Postrm: removeGenerated,
		},
		{
			Name: "toy-app", Version: "2.0", Fields: "Depends: toy-lib (>= 2.0)\nRecommends: toy-extra\n",
			Files: map[string]string{
				"/etc/toy-app/main.conf": "setting = two\n", "/etc/toy-app/new.conf": "new\n", "/usr/bin/toy-app": "#!/bin/sh\necho two\n",
			},
			Conffiles: []string{"/etc/toy-app/main.conf", "/etc/toy-app/new.conf"}, Postinst: generateConfig, Postrm: removeGenerated,
		},
		{Name: "toy-common", Version: "1.0", Arch: "all", Files: map[string]string{"/etc/toy-common.conf": "common\n"}, Conffiles: []string{"/etc/toy-common.conf"}},
		{Name: "toy-extra", Version: "1.0", Files: map[string]string{"/usr/share/toy-extra/x": "x\n"}},
		{Name: "toy-alt", Version: "1.0", Fields: "Provides: toy-app\nConflicts: toy-app\nReplaces: toy-app\n", Files: map[string]string{"/usr/bin/toy-app": "#!/bin/sh\necho alt\n"}},
		{Name: "toy-prov-a", Version: "1.0", Fields: "Provides: toy-virtual\n"},
		{Name: "toy-prov-b", Version: "1.0", Fields: "Provides: toy-virtual\n"},
		{Name: "toy-single", Version: "1.0", Fields: "Provides: toy-virtual-one\n"},
		{Name: "toy-epoch", Version: "9.0"},
		{Name: "toy-epoch", Version: "1:1.0"},
		{Name: "toy-rc", Version: "2.0~rc1"},
		{Name: "toy-rc", Version: "2.0"},
		{Name: "toy-fail-preinst", Version: "1.0", Preinst: failing},
		{Name: "toy-fail-postinst", Version: "1.0", Postinst: failing},
		{Name: "toy-fail-prerm", Version: "1.0", Prerm: failing},
		{Name: "toy-fail-postrm", Version: "1.0", Postrm: failing},
		{Name: "toy-fail-purge", Version: "1.0", Postrm: `[ "$1" != purge ] || exit 1`},
		{Name: "toy-fail-leave", Version: "1.0", Prerm: `[ "$1" != upgrade ] || exit 1`},
		{Name: "toy-fail-leave", Version: "2.0", Prerm: `[ "$1" != failed-upgrade ] || exit 1`},
		{Name: "toy-later", Version: "1.0", Postinst: `[ "$1" != configure ] || [ -e /run/toy-later.ok ]`},
		{Name: "toy-halfway", Version: "1.0"},
		{Name: "toy-halfway", Version: "2.0", Postinst: failing},
		{Name: "toy-no-downgrade", Version: "1.0", Preinst: `if [ "$1" = upgrade ] && dpkg --compare-versions "$2" gt 1.0; then echo "no way back" >&2; exit 1; fi`},
		{Name: "toy-no-downgrade", Version: "2.0"},
		{Name: "toy-migrate", Version: "1.0", Postinst: `[ -e /var/lib/toy-migrate ] || echo fmt=1 > /var/lib/toy-migrate`, Postrm: `[ "$1" != purge ] || rm -f /var/lib/toy-migrate`},
		{Name: "toy-migrate", Version: "2.0", Postinst: `echo fmt=2 > /var/lib/toy-migrate`, Postrm: `[ "$1" != purge ] || rm -f /var/lib/toy-migrate`},
		{Name: "toy-slow", Version: "1.0", Postinst: slow},
		{Name: "toy-daemon", Version: "1.0", Postinst: "sleep 600 &"},
		{Name: "toy-essential", Version: "1.0", Fields: "Essential: yes\n"},
		{Name: "toy-protected", Version: "1.0", Fields: "Protected: yes\n"},
		{Name: "toy-important", Version: "1.0", Fields: "Important: yes\n"},
		{Name: "toy-mover-a", Version: "1.0", Files: map[string]string{"/usr/share/toy-mover/x": "a\n"}},
		{Name: "toy-mover-b", Version: "2.0", Fields: "Breaks: toy-mover-a (<< 2.0)\nReplaces: toy-mover-a (<< 2.0)\n", Files: map[string]string{"/usr/share/toy-mover/x": "b\n"}},
		{Name: "toy-mover-a", Version: "2.0"},
		{
			Name: "toy-debconf", Version: "1.0", Fields: "Depends: debconf\n",
			Templates: "Template: toy-debconf/answer\nType: string\nDefault: 42\nDescription: what is the answer\n",
			Config:    ". /usr/share/debconf/confmodule\ndb_input medium toy-debconf/answer || true\ndb_go || true",
			Postinst:  ". /usr/share/debconf/confmodule\ndb_get toy-debconf/answer\nmkdir -p /var/lib/toy-debconf\necho \"$RET\" > /var/lib/toy-debconf/answer\ndb_stop",
			Postrm:    "if [ \"$1\" = purge ]; then\nrm -rf /var/lib/toy-debconf\nif [ -e /usr/share/debconf/confmodule ]; then . /usr/share/debconf/confmodule; db_purge; fi\nfi",
		},
		{
			Name: "toy-divert", Version: "1.0", Files: map[string]string{"/usr/share/toy-divert/x": "x\n"},
			Preinst: `dpkg-divert --package toy-divert --add --rename --divert /usr/games/sl.real /usr/games/sl`,
			Postrm:  `[ "$1" != remove ] || dpkg-divert --package toy-divert --remove --rename /usr/games/sl`,
		},
		{
			Name: "toy-altern", Version: "1.0", Files: map[string]string{"/usr/bin/toy-altern-1": "#!/bin/sh\n", "/usr/bin/toy-altern-2": "#!/bin/sh\n"},
			Postinst: "update-alternatives --install /usr/bin/toy-tool toy-tool /usr/bin/toy-altern-1 10\nupdate-alternatives --install /usr/bin/toy-tool toy-tool /usr/bin/toy-altern-2 5",
			Prerm:    `[ "$1" = upgrade ] || { update-alternatives --remove toy-tool /usr/bin/toy-altern-1; update-alternatives --remove toy-tool /usr/bin/toy-altern-2; }`,
		},
		{Name: "toy-trigger", Version: "1.0", Triggers: "interest-noawait /usr/share/toy-trigger\n", Postinst: `[ "$1" != triggered ] || echo fired >> /var/lib/toy-trigger.log`},
		{Name: "toy-trigger-user", Version: "1.0", Files: map[string]string{"/usr/share/toy-trigger/u": "u\n"}},
		{Name: "toy-g++", Version: "1.0"},
		{Name: "toy-c1", Version: "1.0", Fields: "Depends: toy-c2\n"},
		{Name: "toy-c2", Version: "1.0", Fields: "Depends: toy-c3\n"},
		{Name: "toy-c3", Version: "1.0"},
		{Name: "toy-needs2", Version: "1.0", Fields: "Depends: toy-lib (>= 2.0)\n"},
		withManyFiles("toy-many", 3000),
	}
	list = append(list, withVersions(toyPackage{Name: "toy-lib", Files: map[string]string{"/usr/share/toy-lib/x": "x\n"}}, "1.0", "2.0")...)
	for _, v := range []string{"1.0", "2.0"} {
		list = append(list,
			toyPackage{Name: "toy-pair-a", Version: v, Fields: "Depends: toy-pair-b (= " + v + ")\n"},
			toyPackage{Name: "toy-pair-b", Version: v, Fields: "Breaks: toy-pair-a (<< " + v + ")\n"},
			toyPackage{Name: "toy-multi", Version: v, Fields: "Multi-Arch: same\n"},
			toyPackage{Name: "toy-multi", Version: v, Arch: "i386", Fields: "Multi-Arch: same\n"})
	}
	return list
}

func withManyFiles(name string, n int) toyPackage {
	p := toyPackage{Name: name, Version: "1.0", Files: map[string]string{}}
	for i := range n {
		p.Files[fmt.Sprintf("/usr/share/%s/%04d", name, i)] = "content\n"
	}
	return p
}
