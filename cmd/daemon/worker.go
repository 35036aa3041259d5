package daemon

import (
	"os"

	"cortex/cmd/config"
	"cortex/cmd/parts"
	"cortex/cmd/privexec"
	"cortex/consumers/executor"
	"cortex/consumers/limiter"
	"cortex/consumers/machine/apt"
	"cortex/consumers/machine/confstate"
)

// workerSocketEnv names the socket of the worker, in the unit of the daemon: where
// systemd bounds what the daemon may write, the worker runs apt for it.
const workerSocketEnv = "CORTEX_WORKER"

// starter is how programs are started: by the worker where there is one, otherwise nil
// and as children of the daemon.
func starter(s config.Settings) apt.StartFunc {
	if socket := os.Getenv(workerSocketEnv); socket != "" && s.Root == "/" {
		return privexec.NewStarter(socket)
	}
	return nil
}

// newRestorer is what restores files: the keeper, or the keeper in the worker.
func newRestorer(s config.Settings, k *confstate.Snapshots, start apt.StartFunc) executor.ConfigRestorer {
	if start == nil {
		return k
	}
	return privexec.NewRestorer(k, start, parts.CommandPath, s.WorkDir())
}

// newLimitsMachine returns what applies limits: this process, or the worker for it.
func newLimitsMachine(s config.Settings, start apt.StartFunc) limiter.Machine {
	m := parts.LimitsMachine(s)
	if start == nil {
		return m
	}
	return privexec.NewLimiter(m, start, parts.CommandPath, s.WorkDir())
}
