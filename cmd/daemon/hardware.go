package daemon

import (
	"context"

	"cortex/cmd/adapters"
	"cortex/cmd/config"
	"cortex/consumers/hwsnapshot"
	"cortex/events"
)

func hardwareProbe(s config.Settings) hwsnapshot.HardwareProbe {
	c := adapters.HardwareCollector(s)
	return func(ctx context.Context, reason events.HardwareSnapshotReason) (*events.HardwareSnapshot, error) {
		r, err := c.Collect(ctx)
		if err != nil {
			return nil, err
		}
		return r.Snapshot(reason), nil
	}
}

// reportSnapshotFailure logs that a hardware snapshot was not recorded. A failed snapshot
// does not stop a transaction.
func (srv *server) reportSnapshotFailure(err error) {
	srv.logger.Error("hardware snapshot failed", "error", err)
}
