//go:build !noengine

package main

import (
	"cortex/cmd/cli"
	"cortex/cmd/config"
	"cortex/cmd/daemon"
	"cortex/consumers/policy/cel"
	"cortex/embedded/natslog"
)

// engine is the daemon's inside, the log's files and what judges plans.
func engine() cli.Engine {
	return cli.Engine{
		Run:         daemon.Run,
		Policy:      func(s config.Settings) cli.Policy { return daemon.NewPolicy(s) },
		PolicyCases: cel.RunTests,
		LockState:         natslog.LockDir,
		OpenLog: func(s config.Settings, state string) (cli.LogFiles, error) {
			return natslog.OpenReadOnly(state, daemon.NATSCluster(s))
		},
	}
}
