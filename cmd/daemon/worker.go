package daemon

import (
	"os"

	"cortex/cmd/parts"
	"cortex/cmd/settings"
	"cortex/cmd/worker"
	"cortex/consumers/apt"
	"cortex/consumers/executor"
	"cortex/consumers/keeper"
)

// workerSocket names the socket of the worker, in the unit of the daemon: where
// systemd bounds what the daemon may write, the worker runs apt for it.
const workerSocket = "CORTEX_WORKER"

// hands is how programs are started: by the worker where there is one, otherwise nil
// and as children of the daemon.
func hands(s settings.Settings) apt.Start {
	if socket := os.Getenv(workerSocket); socket != "" && s.Root == "/" {
		return worker.At(socket)
	}
	return nil
}

// restorer is what restores files: the keeper, or the keeper in the worker.
func restorer(s settings.Settings, k *keeper.Keeper, start apt.Start) executor.Keeper {
	if start == nil {
		return k
	}
	return worker.NewKeeper(k, start, parts.Command, s.Work())
}
