package projections_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"time"

	"cortex/embedded/sqlite"
	"cortex/events"
	"cortex/events/memlog"
	"cortex/projections"
)

// A read model that counts the transactions of each user.
func Example() {
	definition := projections.Definition{
		Name: "users", Version: 1,
		Schema: `CREATE TABLE users (name TEXT PRIMARY KEY, requests INTEGER NOT NULL) STRICT`,
		Handlers: []projections.Handler{
			projections.On(func(tx *projections.Tx, r events.Record, f *events.Requested) error {
				_, err := tx.Exec(`INSERT INTO users VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET requests = requests + 1`, r.Actor.User)
				return err
			}),
		},
	}
	if err := printUsers(context.Background(), definition, exampleLog("kim", "ada", "kim")); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ada 1
	// kim 2
}

// printUsers builds the read model from the log and prints its table.
func printUsers(ctx context.Context, d projections.Definition, log events.Log) error {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	open := func(ctx context.Context, path string) (projections.Store, error) {
		return sqlite.Open(ctx, sqlite.Config{Path: path})
	}
	m, err := projections.New(d, open, projections.Config{Dir: dir})
	if err != nil {
		return err
	}
	if err := m.Open(ctx, log); err != nil { // applies the whole log
		return err
	}
	defer func() { _ = m.Close() }()
	return m.Read(ctx, func(db *sql.DB) error {
		tables := projections.NewTables(db, d.Name, d.Version)
		return tables.Each(ctx, `SELECT name, requests FROM users ORDER BY name`, nil, func(rows *sql.Rows) error {
			var name string
			var requests int
			err := rows.Scan(&name, &requests)
			fmt.Println(name, requests)
			return err
		})
	})
}

// exampleLog returns a log with one request of each user.
func exampleLog(users ...string) events.Log {
	const host = events.HostID("01940000-0000-7000-8000-000000000001")
	log := memlog.New(host)
	for i, user := range users {
		id := events.ID(fmt.Sprintf("01940000-0000-7000-8000-%012x", i+1))
		e, err := events.NewFactEvent(events.Event{
			ID: id, Host: host, Subject: events.TransactionSubject(events.TransactionID(id)), Transaction: events.TransactionID(id),
			Time: time.Unix(int64(i), 0), Actor: events.Actor{User: user},
		}, &events.Requested{Number: i + 1, Intent: events.Intent{Verb: events.VerbUpgrade}})
		if err == nil {
			_, err = log.Append(context.Background(), e, events.NoExpectation)
		}
		if err != nil {
			panic(err)
		}
	}
	return log
}
