package main_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// expectState fails the test unless the whole state vector equals before.
func (m *machine) expectState(before map[string]string) {
	m.t.Helper()
	if diff := cmp.Diff(before, m.FullState(m.t)); diff != "" {
		m.t.Errorf("the state differs from before (-before +after):\n%s", diff)
	}
}

// sh runs a shell script in the machine.
func (m *machine) sh(script string) {
	m.t.Helper()
	m.Run(m.t, "/bin/sh", "-ec", script)
}

// After an edit of a configuration file, a purge of its package and three upgrades, one
// rollback restores everything. The plan lists every change.
func TestRollbackRestoresPurgedFileAndUpgrades(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-app=1.0", "toy-lib=1.0", "toy-pair-a=1.0", "toy-pair-b=1.0", "toy-epoch=9.0", "toy-common", "--yes")
	m.WriteFile(t, "/etc/toy-common.conf", "mine, worked on for hours\n")
	m.Remove(t, "/etc/toy-app/old.conf")
	m.must(0, "install", "cowsay", "--yes")
	good := m.FullState(t)
	m.must(0, "purge", "toy-common", "--yes")
	m.must(0, "upgrade", "toy-app", "toy-pair-a", "toy-epoch", "--yes")
	m.OfferNewest(t)
	m.Run(t, "/usr/bin/apt-get", "clean")

	r := m.must(0, "rollback", "--to", "2", "--dry-run")
	for _, want := range []string{"downgrade  toy-app ", "downgrade  toy-pair-a", "downgrade  toy-epoch", "install    toy-common", "/etc/toy-common.conf", "+mine, worked on for hours"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("the plan does not contain %q:\n%s", want, r.out)
		}
	}
	m.must(0, "rollback", "--to", "2", "--yes")
	m.expectState(good)
	if got := m.show("3"); !got.Exact || !got.Undone() {
		t.Errorf("exact %v, compensation %q", got.Exact, got.CompensationSummary())
	}
	m.must(0, "redo", "--yes")
	if m.Exists("/etc/toy-common.conf") {
		t.Error("the redo did not purge the package")
	}
	m.must(0, "undo", "--yes")
	m.expectState(good)
	m.must(0, "replay", "--verify")
}

// undoCase is one edge case: the preparation, the change, and the result of the undo. The
// state vector after the undo equals the one before do, except for the lines in residue.
type undoCase struct {
	prepare string // a shell script; cortex is on its PATH
	do      string
	fails   bool   // do may fail
	between string // a shell script between do and undo
	undo    []string
	code    int
	residue []string // lines of the state vector that may differ, by prefix
	output  string   // a part of the undo's output
}

func TestUndoEdgeCases(t *testing.T) {
	const y = "cortex install -qy "
	for name, tc := range map[string]undoCase{
		"01 upgrade, old version gone from the archive": {prepare: y + "toy-app=1.0 toy-lib=1.0", do: "cortex upgrade -qy; apt-get clean"},
		"02 downgrade": {prepare: y + "toy-app", do: y + "toy-app=1.0"},
		"03 reinstall changed nothing that an undo restores": {prepare: y + "toy-app", do: "rm /usr/bin/toy-app; " + y + "--reinstall toy-app", undo: []string{"undo", "2"}, code: 1, output: "changed nothing"},
		"04 epoch and tilde":                             {prepare: y + "toy-epoch=9.0 toy-rc=2.0~rc1", do: "cortex upgrade -qy"},
		"05 a package that refuses to be downgraded":     {prepare: y + "toy-no-downgrade=1.0", do: "cortex upgrade -qy toy-no-downgrade", code: 100, residue: []string{"package toy-no-downgrade"}},
		"06 exact version pairs":                         {prepare: y + "toy-pair-a=1.0 toy-pair-b=1.0", do: "cortex upgrade -qy toy-pair-a"},
		"09 foreign architecture":                        {prepare: "dpkg --add-architecture i386; apt-get update; " + y + "toy-multi=1.0 toy-multi:i386=1.0", do: "cortex upgrade -qy"},
		"11 autoremove keeps automatic marks":            {prepare: y + "toy-app; apt-mark auto toy-app", do: "cortex purge -qy toy-app toy-lib toy-extra"},
		"12 manual package that was automatic":           {prepare: y + "toy-app", do: y + "toy-lib"},
		"14 hold dropped by removal":                     {prepare: y + "toy-app; cortex hold -qy toy-app", do: "cortex remove -qy --allow-change-held-packages toy-app"},
		"15 undo touching a held package asks":           {prepare: y + "toy-app=1.0 toy-lib=1.0", do: "cortex upgrade -qy toy-app; cortex hold -qy toy-app", undo: []string{"undo", "2"}, code: 4, output: "--allow-change-held-packages", residue: []string{"package", "registry", "file"}},
		"16 a mark changed in between is kept":           {prepare: y + "toy-app=1.0 toy-lib=1.0; apt-mark manual toy-lib", do: "cortex upgrade -qy toy-app", between: "apt-mark auto toy-lib", residue: []string{"package toy-lib"}},
		"17 conffile edited before removal":              {prepare: y + "toy-app; echo mine >/etc/toy-app/main.conf", do: "cortex remove -qy toy-app"},
		"17 conffile edited before purge":                {prepare: y + "toy-app; echo mine >/etc/toy-app/main.conf", do: "cortex purge -qy toy-app"},
		"17 conffile edited before upgrade":              {prepare: y + "toy-app=1.0 toy-lib=1.0; echo mine >/etc/toy-app/main.conf", do: "cortex upgrade -qy toy-app"},
		"18 conffile deleted by the user stays deleted":  {prepare: y + "toy-app; rm /etc/toy-app/main.conf", do: "cortex purge -qy toy-app"},
		"19 conffile dropped by the new version":         {prepare: y + "toy-app=1.0 toy-lib=1.0; echo mine >/etc/toy-app/old.conf", do: "cortex upgrade -qy toy-app"},
		"20 leftovers of dpkg are cleaned":               {prepare: y + "toy-app=1.0 toy-lib=1.0; echo mine >/etc/toy-app/main.conf; echo x >/etc/toy-app/main.conf.dpkg-old", do: "cortex upgrade -qy toy-app"},
		"21 file that a script generated":                {prepare: y + "toy-app; echo mine >/etc/toy-app/generated", do: "cortex purge -qy toy-app"},
		"22 mode and owner":                              {prepare: y + "toy-app toy-common; chmod 640 /etc/toy-common.conf; chown games:games /etc/toy-common.conf; chmod 700 /etc/toy-app", do: "cortex purge -qy toy-app toy-common"},
		"22 symbolic link":                               {prepare: y + "toy-app; mv /etc/toy-app/generated /etc/elsewhere; ln -s ../elsewhere /etc/toy-app/generated", do: "cortex purge -qy toy-app"},
		"22 conffile behind a symbolic link":             {prepare: y + "toy-app; mv /etc/toy-app/main.conf /etc/elsewhere; ln -s /etc/elsewhere /etc/toy-app/main.conf", do: "cortex purge -qy toy-app", code: 7, output: "conffiles toy-app", residue: []string{"registry toy-app"}},
		"26 debconf answer and flags":                    {prepare: "echo 'toy-debconf toy-debconf/answer string 43' | debconf-set-selections; " + y + "toy-debconf", do: "cortex purge -qy toy-debconf"},
		"27 secret file":                                 {prepare: y + "toy-common; chmod 600 /etc/toy-common.conf; echo password=hunter2 >/etc/toy-common.conf", do: "cortex purge -qy toy-common"},
		"28 purge of a package with status config-files": {prepare: y + "toy-common; echo mine >/etc/toy-common.conf; cortex remove -qy toy-common", do: "cortex purge -qy toy-common", code: 7, output: "will not record its leftover configuration files", residue: []string{"package toy-common", "registry toy-common"}},
		"30 conflict swap":                               {prepare: y + "toy-app; echo mine >/etc/toy-app/main.conf", do: y + "toy-alt"},
		"30 replaces and breaks":                         {prepare: y + "toy-mover-a=1.0", do: y + "toy-mover-b"},
		"31 virtual provider swap":                       {prepare: y + "toy-prov-a", do: "cortex remove -qy toy-prov-a; " + y + "toy-prov-b", undo: []string{"undo", "2..3"}},
		"32 manual choice of an alternative":             {prepare: y + "toy-altern; update-alternatives --set toy-tool /usr/bin/toy-altern-2", do: "cortex remove -qy toy-altern"},
		"33 diversion":                                   {prepare: y + "sl", do: y + "toy-divert"},
		"33 diversion removed":                           {prepare: y + "sl toy-divert", do: "cortex remove -qy toy-divert"},
		"33 statoverride is kept":                        {prepare: y + "sl; dpkg-statoverride --update --add games games 0750 /usr/games/sl", do: "cortex purge -qy sl"},
		"34 triggers":                                    {prepare: y + "toy-trigger", do: y + "toy-trigger-user"},
		"36 failing preinst":                             {do: y + "cowsay toy-fail-preinst toy-common", fails: true},
		"36 failing postinst":                            {do: y + "cowsay toy-fail-postinst toy-common", fails: true},
		"36 failing upgrade":                             {prepare: y + "toy-halfway=1.0", do: "cortex upgrade -qy toy-halfway", fails: true},
		"38 a package that cannot be removed":            {do: y + "toy-fail-prerm", code: 100, residue: []string{"package toy-fail-prerm"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := setup(t)
			if tc.prepare != "" {
				m.sh(tc.prepare)
			}
			before := m.FullState(t)
			if out, code := m.Try("/bin/sh", "-ec", tc.do); code != 0 && !tc.fails {
				t.Fatalf("%s: exit %d\n%s", tc.do, code, out)
			}
			if tc.between != "" {
				m.sh(tc.between)
			}
			args := tc.undo
			if args == nil {
				args = []string{"undo"}
			}
			if strings.HasPrefix(name, "01 ") {
				m.OfferNewest(t)
			}
			r := m.must(tc.code, append(args, "--yes")...)
			if !strings.Contains(r.out+r.err, tc.output) {
				t.Errorf("the output does not contain %q:\n%s%s", tc.output, r.out, r.err)
			}
			after := m.FullState(t)
			for _, prefix := range tc.residue {
				for _, v := range []map[string]string{before, after} {
					for k := range v {
						if strings.HasPrefix(k, prefix) {
							delete(v, k)
						}
					}
				}
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the state differs from before (-before +after):\n%s\n%s%s", diff, r.out, r.err)
			}
			m.must(0, "replay", "--verify")
		})
	}
}

func TestUndoFileChangedSinceIsConflict(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-app=1.0", "toy-lib=1.0", "--yes")
	before := m.FullState(t)
	m.must(0, "upgrade", "toy-app", "--yes")
	m.WriteFile(t, "/etc/toy-app/main.conf", "edited since\n")
	r := m.must(1, "undo", "--yes")
	if !strings.Contains(r.err, "/etc/toy-app/main.conf") || !strings.Contains(r.err, "--force /etc/toy-app/main.conf") {
		t.Errorf("the error does not name the conflict:\n%s", r.err)
	}
	if got := m.ReadFile(t, "/etc/toy-app/main.conf"); got != "edited since\n" {
		t.Errorf("the undo overwrote the file: %q", got)
	}
	m.must(0, "undo", "--yes", "--force", "/etc/toy-app/main.conf")
	m.expectState(before)
	m.must(0, "redo", "--yes") // the redo restores the overwritten content
	if got := m.ReadFile(t, "/etc/toy-app/main.conf"); got != "edited since\n" {
		t.Errorf("the redo restored %q", got)
	}
}

func TestUndoThenUpgradeKeepsEditedConffile(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-app=1.0", "toy-lib=1.0", "--yes")
	m.WriteFile(t, "/etc/toy-app/main.conf", "mine\n")
	m.must(0, "purge", "toy-app", "--yes")
	m.must(0, "undo", "--yes")
	m.Run(t, "/usr/bin/apt-get", "-y", "-o", "Dpkg::Options::=--force-confold", "install", "toy-app=2.0")
	if got := m.ReadFile(t, "/etc/toy-app/main.conf"); got != "mine\n" {
		t.Errorf("the upgrade wrote %q: dpkg took the edited content for the package's", got)
	}
}

func TestUndoUpgradeThenHold(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-app=1.0", "toy-lib=1.0", "--yes")
	m.must(0, "upgrade", "toy-app", "--yes")
	m.must(0, "undo", "--yes", "--hold")
	m.must(0, "upgrade", "--yes")
	if got := m.PackageStates(t)["toy-app:amd64"]; !strings.Contains(got, "1.0") {
		t.Errorf("the next upgrade installed %s", got)
	}
}

func TestUndoDamagedPackageFileIsRefused(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-app=1.0", "toy-lib=1.0", "--yes")
	m.must(0, "upgrade", "toy-app", "--yes")
	m.sh("for f in /var/lib/cortex/vault/debs/toy-app_1.0_*; do echo damage >>\"$(readlink -f \"$f\")\"; done")
	before := m.FullState(t)
	r := m.must(1, "undo", "--yes")
	if !strings.Contains(r.err, "damaged") {
		t.Errorf("the error does not name the damaged file:\n%s", r.err)
	}
	m.expectState(before)
}

func TestUndoLaterTransactionNeedsCascade(t *testing.T) {
	m := setup(t)
	before := m.FullState(t)
	m.must(0, "install", "toy-lib", "--yes")
	m.must(0, "install", "toy-app", "--yes")
	if r := m.must(1, "undo", "1", "--yes"); !strings.Contains(r.err, "transaction 2") || !strings.Contains(r.err, "--cascade") {
		t.Errorf("the error does not name the later transaction:\n%s", r.err)
	}
	m.must(0, "undo", "1", "--cascade", "--yes")
	m.expectState(before)
	for _, n := range []int{1, 2} {
		if got := m.show(fmt.Sprint(n)); !got.Undone() || !got.Exact {
			t.Errorf("transaction %d: %q, exact %v", n, got.CompensationSummary(), got.Exact)
		}
	}
	m.must(1, "undo", "1", "--yes") // a second undo is refused
}

func TestPurgeOfRemovedPackageNamesUnrestored(t *testing.T) {
	m := setup(t)
	m.must(0, "install", "toy-common", "--yes")
	m.must(0, "remove", "toy-common", "--yes")
	if out := m.must(0, "purge", "toy-common", "--dry-run").out; !strings.Contains(out, "toy-common: dpkg's own record of the leftover configuration files") {
		t.Errorf("the plan does not name the package state:\n%s", out)
	}
	m.must(0, "purge", "toy-common", "--yes")
	m.must(7, "undo", "--yes")
}
