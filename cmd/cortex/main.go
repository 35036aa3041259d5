// Command cortex installs software through apt, records exactly what happened,
// and undoes it. See 'cortex help'.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"cortex/cmd/app"
	"cortex/cmd/cli"
	"cortex/cmd/cli/iostreams"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx,
		&iostreams.IO{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv},
		&app.Service{Args: os.Args[1:], Env: os.Getenv, UID: os.Geteuid(), Engine: engine()},
	)
	stop()
	os.Exit(code)
}
