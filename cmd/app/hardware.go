package app

import (
	"context"
	"cortex/cmd/parts"
	"cortex/producers/hardware"
)

func (s *Service) ReadHardware(ctx context.Context) (hardware.Reading, error) {
	return parts.HardwareCollector(s.Settings).Collect(ctx)
}
