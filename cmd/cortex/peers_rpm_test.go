//go:build peers

package main_test

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"cortex/consumers/machine/testbed"
)

// rpmToy is a toy package with the same behaviour for dnf5, as the body of a spec
// file. Its field install has the commands that create the files.
type rpmToy struct{ name, version, fields, install, files, scripts string }

const (
	rpmGenerate = "%post\nmkdir -p /var/lib/toy-app\n[ -e /var/lib/toy-app/data ] || echo fresh >/var/lib/toy-app/data\n" +
		"echo 'made by toy-app' >/etc/toy-app/generated\n%postun\nif [ $1 = 0 ]; then rm -rf /var/lib/toy-app /etc/toy-app/generated; fi\n"
	rpmAlternatives = "%post\nupdate-alternatives --install /usr/bin/toy-tool toy-tool /usr/bin/toy-altern-1 10\n" +
		"update-alternatives --install /usr/bin/toy-tool toy-tool /usr/bin/toy-altern-2 5\n" +
		"%preun\nif [ $1 = 0 ]; then update-alternatives --remove toy-tool /usr/bin/toy-altern-1; update-alternatives --remove toy-tool /usr/bin/toy-altern-2; fi\n"
)

// conf returns the commands that create files from pairs of path and content, and the
// lines of %files; a path below /etc is %config(noreplace).
func conf(pairs ...string) (install, files string) {
	for i := 0; i < len(pairs); i += 2 {
		install += fmt.Sprintf("mkdir -p %%{buildroot}%s\nprintf '%s\\n' >%%{buildroot}%s\n", filepath.Dir(pairs[i]), pairs[i+1], pairs[i])
		if strings.HasPrefix(pairs[i], "/etc/") {
			files += "%config(noreplace) "
		}
		files += pairs[i] + "\n"
	}
	return install, files
}

func rpmToys() []rpmToy {
	app1, files1 := conf("/etc/toy-app/main.conf", "setting = one", "/etc/toy-app/old.conf", "old")
	app2, files2 := conf("/etc/toy-app/main.conf", "setting = two", "/etc/toy-app/new.conf", "new")
	common, commonFiles := conf("/etc/toy-common.conf", "common")
	altern, alternFiles := conf("/usr/bin/toy-altern-1", "one", "/usr/bin/toy-altern-2", "two")
	return []rpmToy{
		{name: "toy-shell", version: "1.0", fields: "Provides: /bin/sh\n"}, // /bin/sh of Debian is not an rpm package
		{name: "toy-lib", version: "1.0"},
		{name: "toy-lib", version: "2.0"},
		{name: "toy-extra", version: "1.0"},
		{name: "cowsay", version: "3.03"},
		{name: "toy-app", version: "1.0", fields: "Requires: toy-lib >= 1.0\nRecommends: toy-extra\n", install: app1, files: "%dir /etc/toy-app\n" + files1, scripts: rpmGenerate},
		{name: "toy-app", version: "2.0", fields: "Requires: toy-lib >= 2.0\nRecommends: toy-extra\n", install: app2, files: "%dir /etc/toy-app\n" + files2, scripts: rpmGenerate},
		{name: "toy-alt", version: "1.0", fields: "Conflicts: toy-app\n"},
		{name: "toy-common", version: "1.0", install: common, files: commonFiles},
		{name: "toy-altern", version: "1.0", install: altern, files: alternFiles, scripts: rpmAlternatives},
		{name: "toy-fail-postinst", version: "1.0", scripts: "%post\nexit 1\n"},
		{name: "toy-slow", version: "1.0", scripts: "%post\ntouch /run/toy-slow.waiting\nwhile [ ! -e /run/toy-slow.go ]; do sleep 0.05; done\n"},
	}
}

func (p rpmToy) spec() string {
	return fmt.Sprintf("Name: %s\nVersion: %s\nRelease: 1\nSummary: a toy package\nLicense: none\nBuildArch: noarch\n%s%%description\nmade to be difficult\n%%install\n%s%s%%files\n%s",
		p.name, p.version, p.fields, p.install, p.scripts, p.files)
}

// rpms are the package files by name, built once in a separate root.
var rpms = struct {
	sync.Mutex
	built map[string]string
}{}

// rpmRepository creates the repository /rpms with the packages.
func rpmRepository(t testing.TB, bed *testbed.Bed) {
	t.Helper()
	rpms.Lock()
	defer rpms.Unlock()
	if rpms.built == nil {
		built := map[string]string{}
		builder := testbed.NewWithSuite(t, newer)
		for i, p := range rpmToys() {
			spec := fmt.Sprintf("/tmp/rpm/%d.spec", i)
			builder.WriteFile(t, spec, p.spec())
			builder.Run(t, "/usr/bin/rpmbuild", "-bb", "--define", "_topdir /tmp/rpm", "--define", "_rpmdir /rpms", "--define", "_rpmfilename %{NAME}-%{VERSION}.rpm", spec)
			name := p.name + "-" + p.version + ".rpm"
			built[name] = builder.ReadFile(t, "/rpms/"+name)
		}
		rpms.built = built
	}
	for name, data := range rpms.built {
		bed.WriteFile(t, "/rpms/"+name, data)
	}
}

// rpmVector returns the state vector of a root with rpm packages: rpm's packages, dnf5's
// reasons, and the same files, lists and alternatives as with dpkg.
func rpmVector(t *testing.T, bed *testbed.Bed) map[string]string {
	t.Helper()
	out := bed.FullState(t)
	reasons := map[string]string{}
	for line := range strings.Lines(bed.Run(t, "/usr/bin/dnf5", "-q", "repoquery", "--installed", "--qf", `%{name} %{reason}\n`)) {
		name, reason, _ := strings.Cut(strings.TrimSpace(line), " ")
		reasons[name] = strings.ReplaceAll(reason, " ", "-")
	}
	for line := range strings.Lines(bed.Run(t, "/usr/bin/rpm", "-qa", "--qf", `%{NAME} %{VERSION}\n`)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		out["package "+name+":rpm"] += fmt.Sprintf("install ok installed %s %s", version, cmp.Or(reasons[name], "unknown"))
	}
	return out
}
