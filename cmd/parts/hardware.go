package parts

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"cortex/cmd/config"
	"cortex/events"
	"cortex/producers/hardware"
)

// nvidiaTimeout bounds how long NVIDIA's library may take to answer.
const nvidiaTimeout = 10 * time.Second

// HardwareCollector looks at the machine that the settings name.
func HardwareCollector(s config.Settings) *hardware.Collector {
	return hardware.New(hardware.LocalConfig(s.Root, queryNVIDIA))
}

// queryNVIDIA runs the program cortex-nvml.
func queryNVIDIA(ctx context.Context) (hardware.NVIDIAReport, error) {
	path, err := FindProgram("cortex-nvml")
	if err != nil {
		return hardware.NVIDIAReport{}, fmt.Errorf("what asks NVIDIA's library: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, nvidiaTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	if err := cmd.Run(); err != nil {
		return hardware.NVIDIAReport{}, fmt.Errorf("%w: %s", err, events.Tail(strings.TrimSpace(told.String()), 200))
	}
	return hardware.ParseNVIDIAReport(out.Bytes())
}
