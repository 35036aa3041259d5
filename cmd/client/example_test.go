package client_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"cortex/cmd/api"
	"cortex/cmd/client"
	"cortex/cmd/config"
	"cortex/events"
	"cortex/projections/history"
)

// exampleDaemon is a daemon with one transaction in its history.
type exampleDaemon struct{ api.Daemon }

func (exampleDaemon) Host() events.HostID { return "0193f4a0-0000-7000-8000-000000000001" }

func (exampleDaemon) MayChange(int) bool { return false }

func (exampleDaemon) StartupNotes() []string { return nil }

func (exampleDaemon) History(_ context.Context, f history.Filter) ([]history.TransactionRow, error) {
	t := history.TransactionRow{Number: 1, Verb: events.VerbInstall, Summary: string(f.Package), State: events.StateSucceeded}
	return []history.TransactionRow{t}, nil
}

// A program connects to the daemon's socket and lists the transactions of a package. It
// starts no daemon, because it passes no starter.
func ExampleClient_History() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "cortexd.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() {
		served <- api.New(exampleDaemon{}, "dev", os.Getpid(), os.Getuid(), slog.New(slog.DiscardHandler)).Serve(ctx, l)
	}()

	c := client.New(config.Settings{Socket: socket}, "dev", nil)
	reply, err := c.History(ctx, history.Filter{Package: "cowsay", Limit: 10})
	if err != nil {
		fmt.Println(err)
	}
	for _, t := range reply.Transactions {
		fmt.Println(t.Number, t.Verb, t.Summary, t.State)
	}
	c.Close()
	stop()
	<-served
	// Output: 1 install cowsay succeeded
}
