package events_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"cortex/events"
	"cortex/events/memlog"
)

// A line of 'cortex events export', or of a stream of events, is a record. Its data is
// decoded by its kind. An unknown kind is not an error.
func ExampleDecode() {
	lines := []string{
		`{"specversion":"1.0","id":"01940000-0000-7000-8000-000000000009","source":"urn:cortex:host:01940000-0000-7000-8000-000000000001",
		"type":"transaction.cancelled.v1","subject":"txn.01940000-0000-7000-8000-0000000000aa","time":"2026-11-23T12:00:00Z",
		"actor":{"uid":1000,"program":"cortex"},"datacontenttype":"application/json","data":{"reason":"declined"}}`,
		`{"specversion":"1.0","id":"01940000-0000-7000-8000-00000000000a","source":"urn:cortex:host:01940000-0000-7000-8000-000000000001",
		"type":"transaction.paused.v1","subject":"txn.01940000-0000-7000-8000-0000000000aa","time":"2026-11-23T12:00:01Z","cortexversion":"9.1.0",
		"actor":{"uid":0,"program":"cortexd"},"datacontenttype":"application/json","data":{"why":"battery"}}`,
	}
	for _, line := range lines {
		var r events.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			fmt.Println(err)
			return
		}
		f, err := events.Decode(r.Event)
		if err != nil {
			fmt.Println(err)
			return
		}
		switch f := f.(type) {
		case *events.Cancelled:
			fmt.Println("cancelled:", f.Reason)
		case *events.UnknownFact:
			fmt.Println(f.Kind(), "of Cortex", f.CortexVersion+":", string(f.Data))
		}
	}
	// Output:
	// cancelled: declined
	// transaction.paused.v1 of Cortex 9.1.0: {"why":"battery"}
}

// LoadTransaction folds the facts of one transaction into its state.
func ExampleLoadTransaction() {
	ctx := context.Background()
	log := exampleLog(ctx,
		&events.Requested{Number: 1, Intent: events.Intent{Verb: events.VerbInstall, Packages: []events.PackageRef{{Name: "cowsay"}}}},
		&events.Planned{PlanID: "0123456789ab"},
		&events.Cancelled{Reason: "declined"},
	)
	t, err := events.LoadTransaction(ctx, log, txn)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("transaction %d: %s %s: %s\n", t.Number, t.Intent.Verb, t.Intent.Packages[0], t.State)
	// Output: transaction 1: install cowsay: cancelled
}

// Each record links to the one before it. A changed record does not match its hash.
func ExampleRecord_Verify() {
	ctx := context.Background()
	log := exampleLog(ctx, &events.Requested{Number: 1, Intent: events.Intent{Verb: events.VerbUpgrade}}, &events.Cancelled{})
	var prev events.Link
	for r, err := range log.Read(ctx, events.Query{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(r.Position, r.Kind, r.Verify(prev))
		r.Actor.UID = 0
		fmt.Println("with another actor:", r.Verify(prev))
		prev = r.Link()
	}
	// Output:
	// 1 upgrade.requested.v1 <nil>
	// with another actor: event 1: its content does not match its hash
	// 2 transaction.cancelled.v1 <nil>
	// with another actor: event 2: its content does not match its hash
}

// exampleLog is a log in memory with facts of one transaction.
func exampleLog(ctx context.Context, facts ...events.Fact) events.Log {
	log := memlog.New(host)
	for i, f := range facts {
		e, err := events.NewFactEvent(events.Event{
			ID: id(i + 1), Host: host, Subject: events.TransactionSubject(txn), Transaction: txn,
			Time: time.Date(2026, 11, 23, 12, 0, i, 0, time.UTC), Actor: events.Actor{UID: 1000, User: "ada", Program: "cortexd"},
		}, f)
		if err == nil {
			_, err = log.Append(ctx, e, events.NoExpectation)
		}
		if err != nil {
			panic(err)
		}
	}
	return log
}
