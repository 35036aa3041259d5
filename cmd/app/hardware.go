package app

import (
	"context"
	"cortex/cmd/adapters"
	"cortex/producers/hardware"
)

func (s *Service) ReadHardware(ctx context.Context) (hardware.Reading, error) {
	return adapters.HardwareCollector(s.Settings).Collect(ctx)
}
