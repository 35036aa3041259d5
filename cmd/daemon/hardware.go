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
	return func(ctx context.Context, why events.HardwareSnapshotReason) (*events.HardwareSnapshot, error) {
		r, err := c.Collect(ctx)
		if err != nil {
			return nil, err
		}
		return r.Snapshot(why), nil
	}
}

// reportSnapshotFailure tells that the hardware could not be put on record; everything else
// goes on.
func (in *server) reportSnapshotFailure(err error) {
	in.logger.Error("no hardware snapshot", "error", err)
}
