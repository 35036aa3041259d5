// Package adapters builds, from the settings, the objects through which both the command
// and the daemon access this machine: the hardware collector and the limits back ends.
// Building one reads and changes nothing.
package adapters

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"cortex/cmd/config"
	"cortex/cmd/programs"
	"cortex/events"
	"cortex/producers/hardware"
)

// nvidiaTimeout bounds the run time of cortex-nvml.
const nvidiaTimeout = 10 * time.Second

// HardwareCollector returns a collector for the root directory in the settings.
func HardwareCollector(s config.Settings) *hardware.Collector {
	return hardware.New(hardware.LocalConfig(s.Root, queryNVIDIA))
}

// queryNVIDIA runs cortex-nvml and parses its report.
func queryNVIDIA(ctx context.Context) (hardware.NVIDIAReport, error) {
	path, err := programs.Find("cortex-nvml")
	if err != nil {
		return hardware.NVIDIAReport{}, fmt.Errorf("query NVIDIA's library: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, nvidiaTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return hardware.NVIDIAReport{}, fmt.Errorf("%w: %s", err, events.Tail(strings.TrimSpace(errOut.String()), 200))
	}
	return hardware.ParseNVIDIAReport(out.Bytes())
}
