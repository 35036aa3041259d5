package daemon

import (
	"os"

	"cortex/cmd/adapters"
	"cortex/cmd/config"
	"cortex/cmd/privexec"
	"cortex/cmd/programs"
	"cortex/consumers/executor"
	"cortex/consumers/limiter"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/confstate"
)

// workerSocketEnv is the environment variable with the path of the worker's socket. The
// daemon's unit sets it: systemd restricts the paths that the daemon may write, and the
// worker runs apt without that restriction.
const workerSocketEnv = "CORTEX_WORKER"

// starter returns a function that starts programs in the worker. It returns nil without a
// worker; the daemon then starts them as its children.
func starter(s config.Settings) apt.StartFunc {
	if socket := os.Getenv(workerSocketEnv); socket != "" && s.Root == "/" {
		return privexec.NewStarter(socket)
	}
	return nil
}

// newRestorer returns the restorer of configuration files, in this process or in the worker.
func newRestorer(s config.Settings, snapshots *confstate.Snapshots, start apt.StartFunc) executor.ConfigRestorer {
	if start == nil {
		return snapshots
	}
	return privexec.NewRestorer(snapshots, start, programs.CommandPath, s.WorkDir())
}

// newLimitsMachine returns the object that applies limits, in this process or in the
// worker.
func newLimitsMachine(s config.Settings, start apt.StartFunc) limiter.Machine {
	m := adapters.LimitsMachine(s)
	if start == nil {
		return m
	}
	return privexec.NewLimitsMachine(m, start, programs.CommandPath, s.WorkDir())
}
