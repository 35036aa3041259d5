//go:build peers

package main_test

import (
	"testing"

	"cortex/consumers/machine/testbed"
)

// peer is a package manager with a history. A script in testdata/peers translates the
// commands of the scenarios for it, with the options that make the tool most willing:
// no command fails only because a question is not answered.
type peer struct {
	name   string
	suite  testbed.Suite                                    // the release in the root; the default of the test bed when empty
	begin  func(testing.TB, *testbed.Bed)                   // preparation before the script's begin
	vector func(*testing.T, *testbed.Bed) map[string]string // the state vector; nil when nothing is measured
	// notMeasured are the cells that are not measured, by the name of the scenario; "" is
	// for all other scenarios.
	notMeasured map[string]string
}

func dpkgVector(t *testing.T, bed *testbed.Bed) map[string]string { return bed.FullState(t) }

// newer is the release for the other tools: apt in Debian 12 cannot undo.
var newer = testbed.Suite{Name: "sid", Packages: []string{"nala", "ca-certificates", "dnf5", "rpm", "createrepo-c"}}

var peers = []peer{
	{name: "cortex", vector: dpkgVector},
	{name: "apt", suite: newer, vector: dpkgVector},
	{name: "nala", suite: newer, vector: dpkgVector},
	{name: "dnf5", suite: newer, begin: rpmRepository, vector: rpmVector, notMeasured: map[string]string{
		"debconf answer, purge": "– (rpm has no debconf)",
	}},
	{name: "snapper 0.10", notMeasured: map[string]string{
		"":                                  "the files, if nothing changed since",
		"automatic mark, made manual":       "not in its history",
		"a later transaction depends on it": "consistency is not guaranteed",
	}},
}

// scenario is a change and its undo. The scripts call the tool pm.
type scenario struct {
	name    string
	prepare string
	do      string
	fails   bool   // do may fail
	dies    bool   // do waits in a package's script, and all processes are killed there
	newest  bool   // the archive deletes replaced versions before the undo
	undo    string // "pm undo" when empty
	further string // a second attempt if the undo was refused
	label   string // the label of further in the table
	later   string // a package of a later transaction, which the undo must not remove without asking
	redo    bool   // redo after the undo; the state must be as do left it
}

const app1 = "pm install toy-app=1.0 toy-lib=1.0 toy-extra; pm auto toy-lib toy-extra; "

var scenarios = []scenario{
	{name: "upgrade", prepare: app1, do: "pm upgrade toy-app"},
	{name: "upgrade, the old version gone from the archive", prepare: app1, do: "pm upgrade toy-app", newest: true},
	{name: "downgrade", prepare: "pm install toy-app", do: "pm install toy-app=1.0"},
	{name: "reinstall", prepare: "pm install toy-app", do: "pm reinstall toy-app"},
	{name: "install with automatic dependencies", prepare: "pm install toy-common", do: "pm install toy-app"},
	{name: "autoremove", prepare: "pm install toy-app; pm remove toy-app", do: "pm autoremove"},
	{name: "edited conffile, remove", prepare: "pm install toy-app; echo mine >/etc/toy-app/main.conf", do: "pm remove toy-app"},
	{name: "edited conffile, purge", prepare: "pm install toy-app; echo mine >/etc/toy-app/main.conf", do: "pm purge toy-app"},
	{name: "deleted conffile, purge", prepare: "pm install toy-app; rm /etc/toy-app/main.conf", do: "pm purge toy-app"},
	{name: "conffile that the new version drops", prepare: app1 + "echo mine >/etc/toy-app/old.conf", do: "pm upgrade toy-app"},
	{name: "file that a script generated, purge", prepare: "pm install toy-app; echo mine >/etc/toy-app/generated", do: "pm purge toy-app"},
	{name: "hold, dropped by a removal", prepare: "pm install toy-app; pm hold toy-app", do: "pm remove toy-app"},
	{name: "automatic mark, made manual", prepare: "pm install toy-app", do: "pm manual toy-lib"},
	{name: "conflict: one package for another", prepare: "pm install toy-app; echo mine >/etc/toy-app/main.conf", do: "pm install toy-alt"},
	{name: "manual choice of an alternative, remove", prepare: "pm install toy-altern; update-alternatives --set toy-tool /usr/bin/toy-altern-2", do: "pm remove toy-altern"},
	{name: "debconf answer, purge", prepare: "echo 'toy-debconf toy-debconf/answer string 43' | debconf-set-selections; pm install toy-debconf", do: "pm purge toy-debconf"},
	{name: "install that fails in a postinst", prepare: "pm install toy-common", do: "pm install cowsay toy-fail-postinst", fails: true},
	{name: "a later transaction depends on it", prepare: "pm install toy-common", do: "pm install toy-lib; pm install toy-app", undo: "pm undo-first", further: "pm cascade", label: "when forced", later: "toy-app"},
	{name: "kill -9 in the middle", prepare: "pm install toy-common", do: "pm install cowsay toy-slow", dies: true, further: "pm repair; pm undo", label: "after a repair by hand"},
	{name: "undo of the undo", prepare: "pm install toy-common", do: "pm install toy-app", redo: true},
}
