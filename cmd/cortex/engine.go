//go:build !noengine

package main

import (
	"cortex/cmd/cli"
	"cortex/cmd/daemon"
	"cortex/cmd/settings"
	"cortex/consumers/policy/rules"
	"cortex/embedded/broker"
)

// engine is the daemon's inside, the log's files and what judges plans.
func engine() cli.Engine {
	return cli.Engine{
		Run:         daemon.Run,
		Policy:      func(s settings.Settings) cli.Policy { return daemon.Policy(s) },
		PolicyCases: rules.Cases,
		Own:         broker.Own,
		Files: func(s settings.Settings, state string) (cli.LogFiles, error) {
			return broker.OpenFiles(state, daemon.Cluster(s))
		},
	}
}
