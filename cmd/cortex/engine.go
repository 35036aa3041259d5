//go:build !noengine

package main

import (
	"cortex/cmd/cli"
	"cortex/cmd/daemon"
	"cortex/embedded/broker"
)

// engine is the daemon's inside and the log's files.
func engine() cli.Engine {
	return cli.Engine{
		Run:   daemon.Run,
		Files: func(state string) (cli.LogFiles, error) { return broker.OpenFiles(state) },
	}
}
