//go:build !noengine

package main

import (
	"cortex/cmd/app"
	"cortex/cmd/config"
	"cortex/cmd/daemon"
	"cortex/consumers/policy/cel"
	"cortex/embedded/natslog"
)

// engine returns the daemon, the log files and the policy evaluator.
func engine() app.Engine {
	return app.Engine{
		Run:         daemon.Run,
		Policy:      func(s config.Settings) app.Policy { return daemon.NewPolicy(s) },
		PolicyCases: cel.RunTests,
		LockState:   natslog.LockDir,
		OpenLog: func(s config.Settings, state string) (app.LogFiles, error) {
			return natslog.OpenReadOnly(state, daemon.NATSCluster(s))
		},
	}
}
