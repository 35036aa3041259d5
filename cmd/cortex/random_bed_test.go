package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cortex/projections/history"
)

// randomCases is the number of random transactions in a short run.
const randomCases = 6

// chance is the random source of one case.
type chance struct{ *rand.Rand }

func (c chance) of(list ...string) string { return list[c.IntN(len(list))] }

// some returns n different names of the list.
func (c chance) some(n int, list ...string) string {
	c.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return strings.Join(list[:n], " ")
}

// prepared are the packages that are installed first; each line is one installation.
var prepared = []string{
	"toy-app=1.0 toy-lib=1.0", "toy-app", "toy-common", "cowsay sl", "toy-pair-a=1.0 toy-pair-b=1.0", "toy-epoch=9.0", "toy-rc=2.0~rc1",
	"toy-altern", "toy-debconf", "toy-trigger", "toy-mover-a=1.0", "toy-halfway=1.0", "toy-prov-a", "toy-c1", "toy-multi=1.0",
	"toy-migrate=1.0", "sl toy-divert", "toy-g++", "toy-fail-purge", "toy-fail-leave=1.0",
}

// edits are changes to the machine without a package manager.
var edits = []string{
	"[ ! -d /etc/toy-app ] || echo mine $RANDOM >/etc/toy-app/main.conf", "rm -f /etc/toy-app/main.conf", "rm -f /etc/toy-common.conf",
	"[ ! -e /etc/toy-common.conf ] || chmod 600 /etc/toy-common.conf", "[ ! -d /etc/toy-app ] || echo x >/etc/toy-app/own", "[ ! -d /etc/toy-app ] || echo old >/etc/toy-app/main.conf.dpkg-old",
	"[ ! -e /etc/toy-app/generated ] || chown games /etc/toy-app/generated", "apt-mark auto toy-lib cowsay 2>/dev/null || true", "apt-mark manual toy-extra 2>/dev/null || true",
	"apt-mark hold sl 2>/dev/null || true", "update-alternatives --set toy-tool /usr/bin/toy-altern-2 2>/dev/null || true",
	"echo toy-debconf toy-debconf/answer string 43 | debconf-set-selections", "[ ! -d /etc/toy-app ] || chmod 711 /etc/toy-app", "echo mine >/etc/unrelated",
	"[ ! -e /etc/toy-app/old.conf ] || echo mine >/etc/toy-app/old.conf",
}

// all are the names of packages in transactions.
var all = []string{
	"toy-app", "toy-lib", "toy-extra", "toy-common", "cowsay", "sl", "toy-pair-a", "toy-epoch", "toy-rc", "toy-altern", "toy-debconf", "toy-trigger",
	"toy-trigger-user", "toy-mover-a", "toy-mover-b", "toy-halfway", "toy-alt", "toy-prov-b", "toy-c1", "toy-c3", "toy-migrate", "toy-divert",
	"toy-fail-preinst", "toy-fail-postinst", "toy-fail-prerm", "toy-fail-postrm", "toy-fail-purge", "toy-fail-leave", "toy-no-downgrade", "toy-needs2",
}

// transaction returns one random command.
func (c chance) transaction() string {
	names := c.some(1+c.IntN(3), append([]string(nil), all...)...)
	switch c.IntN(12) {
	case 0, 1, 2, 3:
		return "install " + c.of("", "", "--no-recommends ") + names
	case 4:
		return "install " + c.of("toy-app=1.0 toy-lib=1.0", "toy-app=1.0", "toy-epoch=9.0", "toy-rc=2.0~rc1", "toy-migrate=1.0", "toy-halfway=1.0", "toy-mover-a=1.0")
	case 5, 6:
		return "remove " + names
	case 7, 8:
		return "purge " + names
	case 9:
		return "upgrade"
	case 10:
		return c.of("hold ", "unhold ") + names
	}
	return "install --reinstall " + names
}

// cases returns the number of random cases and the first seed.
func cases(t *testing.T, short int) (n int, seed uint64) {
	t.Helper()
	n, seed = short, 20261123
	if v := os.Getenv("CORTEX_UNDO_CASES"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	if v := os.Getenv("CORTEX_UNDO_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return n, seed
}

// announced reports whether the undo named a difference of the state vector: by package,
// path, debconf question or link group.
func announced(key string, residue []string) bool {
	_, name, _ := strings.Cut(key, " ")
	name, _, _ = strings.Cut(name, ":")
	for _, r := range residue {
		if strings.Contains(r, name) {
			return true
		}
	}
	return false
}

// The undo of a random transaction restores the state vector, or names every difference.
func TestRandomTransactionsAreUndone(t *testing.T) {
	n, seed := cases(t, randomCases)
	for i := range n {
		t.Run(fmt.Sprintf("seed %d", seed+uint64(i)), func(t *testing.T) {
			m := setup(t)
			c := chance{rand.New(rand.NewPCG(seed+uint64(i), 1))}
			for range 1 + c.IntN(4) {
				m.Try("/bin/sh", "-c", "cortex install -qy "+c.of(prepared...))
			}
			for range c.IntN(5) {
				m.Try("/bin/sh", "-c", c.of(edits...))
			}
			before := m.FullState(t)
			do := c.transaction()
			out, code := m.Try("/bin/sh", "-c", "cortex "+do+" -y --allow-change-held-packages")
			if strings.Contains(do, "hold ") {
				out, code = m.Try("/bin/sh", "-c", "cortex "+do+" -y")
			}
			did := m.show("last")
			if !did.Undoable() {
				if diff := cmp.Diff(before, m.FullState(t)); diff != "" && did.State != "succeeded" {
					t.Errorf("%s (exit %d) made a change that is not recorded:\n%s\n%s", do, code, diff, out)
				}
				return
			}
			r := m.cortex("undo", "-y", "--allow-change-held-packages")
			verdict := m.show(fmt.Sprint(did.Number))
			m.judge(before, do, r, verdict)
			m.must(0, "replay", "--verify")
		})
	}
}

// judge compares the difference of the vectors with the differences that the undo named.
func (m *machine) judge(before map[string]string, do string, r result, verdict history.TransactionDetail) {
	m.t.Helper()
	after := m.FullState(m.t)
	diff := cmp.Diff(before, after)
	switch {
	case r.code == 0 && diff != "":
		m.t.Errorf("unannounced difference after %q (-before +after):\n%s\n%s%s", do, diff, r.out, r.err)
	case r.code == 0 && !verdict.Exact:
		m.t.Errorf("exit 0, but the undo is not exact: %+v", verdict.Residue)
	case r.code == 7:
		for _, k := range differing(before, after) {
			if !announced(k, verdict.Residue) {
				m.t.Errorf("%q: %s differs, but is not in %q (-before +after):\n%s", do, k, verdict.Residue, diff)
			}
		}
	case r.code == 100 || r.code == 1 || r.code == 0:
		// The undo failed or was refused, and its exit code reports it.
	default:
		m.t.Errorf("undo of %q: unexpected exit %d\n%s%s", do, r.code, r.out, r.err)
	}
	m.t.Logf("undo of %q: exit %d, %d not restored", do, r.code, len(verdict.Residue))
}

func differing(a, b map[string]string) []string {
	var out []string
	for k, v := range a {
		if b[k] != v {
			out = append(out, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	return out
}

// Several transactions are undone in any order. Each undo cascades to the later transactions
// in conflict, or is refused and changes nothing. In the end all are undone.
func TestSeveralTransactionsAreUndoneInAnyOrder(t *testing.T) {
	n, seed := cases(t, 2)
	for i := range max(1, n/3) {
		t.Run(fmt.Sprintf("seed %d", seed+uint64(i)), func(t *testing.T) {
			m := setup(t)
			c := chance{rand.New(rand.NewPCG(seed+uint64(i), 2))}
			m.must(0, "install", "-qy", "sl")
			states := []map[string]string{m.FullState(t)}
			for range 4 {
				m.Try("/bin/sh", "-c", "cortex install -qy "+c.of(prepared[:14]...))
				states = append(states, m.FullState(t))
			}
			back := c.IntN(len(states))
			if r := m.cortex("rollback", "--to", fmt.Sprint(back+1), "-y", "--allow-change-held-packages"); r.code == 0 && !strings.Contains(r.err, "changed nothing") {
				if diff := cmp.Diff(states[back], m.FullState(t)); diff != "" {
					t.Errorf("rollback to %d (-then +now):\n%s\n%s%s", back+1, diff, r.out, r.err)
				}
				m.Try("/bin/sh", "-c", "cortex redo -qy")
				if diff := cmp.Diff(states[len(states)-1], m.FullState(t)); diff != "" && strings.Contains(r.out, "exactly") {
					t.Errorf("rollback and redo (-before +after):\n%s", diff)
				}
			}
			order := c.Perm(4)
			for _, k := range order {
				was := m.FullState(t)
				if r := m.cortex("undo", fmt.Sprint(k+2), "-y", "--cascade", "--allow-change-held-packages"); r.code != 0 && r.code != 7 && r.code != 100 {
					m.expectState(was)
				}
			}
			m.must(0, "replay", "--verify")
			for k := range 4 {
				if d := m.show(fmt.Sprint(k + 2)); d.Undoable() {
					t.Logf("transaction %d (%s) is not undone", d.Number, d.Summary)
					return
				}
			}
			if diff := cmp.Diff(states[0], m.FullState(t)); diff != "" {
				t.Errorf("all transactions are undone, but the state differs from before (-before +after):\n%s", diff)
			}
		})
	}
}
