package daemon

import (
	"context"

	"cortex/cmd/parts"
	"cortex/cmd/settings"
	"cortex/consumers/surveyor"
	"cortex/events"
)

func probe(s settings.Settings) surveyor.Probe {
	c := parts.Hardware(s)
	return func(ctx context.Context, why events.SurveyReason) (*events.HardwareSnapshot, error) {
		r, err := c.Collect(ctx)
		if err != nil {
			return nil, err
		}
		return r.Snapshot(why), nil
	}
}

// unsurveyed tells that the hardware could not be put on record; everything else
// goes on.
func (in *inside) unsurveyed(err error) {
	in.logger.Error("no hardware snapshot", "error", err)
}
