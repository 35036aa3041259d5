// Command cortex installs software through apt, records exactly what happened,
// and takes it back. See 'cortex help'.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"cortex/cmd/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, cli.App{
		Args: os.Args[1:], Env: os.Getenv, UID: os.Geteuid(),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Engine: engine(),
	})
	stop()
	os.Exit(code)
}
