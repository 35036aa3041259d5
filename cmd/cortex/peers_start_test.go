//go:build peers

package main_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"cortex/consumers/machine/testbed"
)

// peerStarters returns the commands with which apt and dnf5 list n transactions, in a
// separate root. Each tool ran one transaction, which is then copied in its log.
func peerStarters(b *testing.B, n int) []starter {
	b.Helper()
	bed := testbed.NewWithSuite(b, newer)
	bed.OfferAll(b)
	rpmRepository(b, bed)
	bed.Copy(b, "testdata/peers/dnf5", "/usr/bin/pm")
	bed.Run(b, "/usr/bin/pm", "begin")
	bed.Run(b, "/usr/bin/pm", "install", "cowsay")
	bed.Run(b, "/usr/bin/apt-get", "install", "-y", "cowsay")
	const aptLog = "/var/log/apt/history.log"
	bed.WriteFile(b, aptLog, strings.Repeat(bed.ReadFile(b, aptLog), n))
	copyTransactions(b, filepath.Join(bed.Root(), "usr/lib/sysimage/libdnf5/transaction_history.sqlite"), n)

	one := strconv.Itoa(n / 2)
	var out []starter
	for _, argv := range [][]string{
		{"/usr/bin/apt", "history-list"},
		{"/usr/bin/apt", "history-info", one},
		{"/usr/bin/dnf5", "history", "list"},
		{"/usr/bin/dnf5", "history", "info", one},
	} {
		name := strings.Join(argv, "-")[len("/usr/bin/"):]
		out = append(out, starter{strings.TrimSuffix(name, "-"+one), func(b *testing.B) {
			for b.Loop() {
				execute(b, bed.Command(argv...))
			}
		}})
	}
	for _, argv := range [][]string{{"/usr/bin/apt", "history-list"}, {"/usr/bin/dnf5", "history", "list"}} {
		if got := strings.Count(bed.Run(b, argv...), "2026-"); got < n {
			b.Fatalf("%q lists %d transactions, want %d", argv, got, n)
		}
	}
	return out
}

// copyTransactions copies the newest transaction in the log until there are n.
func copyTransactions(b *testing.B, path string, n int) {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, statement := range []string{
		`BEGIN`,
		fmt.Sprintf(`WITH RECURSIVE more(id) AS (SELECT 3 UNION ALL SELECT id + 1 FROM more WHERE id < %d)
			INSERT INTO trans SELECT more.id, dt_begin, dt_end, rpmdb_version_begin, rpmdb_version_end, releasever, user_id, description, comment, state_id
			FROM more, trans WHERE trans.id = 2`, n),
		`INSERT INTO trans_item (trans_id, item_id, repo_id, action_id, reason_id, state_id)
			SELECT trans.id, item_id, repo_id, action_id, reason_id, trans_item.state_id FROM trans, trans_item WHERE trans.id > 2 AND trans_item.trans_id = 2`,
		`COMMIT`,
	} {
		if _, err := db.ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
}
