package parts

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"cortex/cmd/settings"
	"cortex/events"
	"cortex/producers/hardware"
)

// askTimeout bounds how long NVIDIA's library may take to answer.
const askTimeout = 10 * time.Second

// Hardware looks at the machine that the settings name.
func Hardware(s settings.Settings) *hardware.Collector {
	return hardware.New(hardware.Local(s.Root, askNVIDIA))
}

// askNVIDIA runs the program cortex-nvml.
func askNVIDIA(ctx context.Context) (hardware.NVIDIAReport, error) {
	path, err := Program("cortex-nvml")
	if err != nil {
		return hardware.NVIDIAReport{}, fmt.Errorf("what asks NVIDIA's library: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	var out, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &told
	if err := cmd.Run(); err != nil {
		return hardware.NVIDIAReport{}, fmt.Errorf("%w: %s", err, events.Tail(strings.TrimSpace(told.String()), 200))
	}
	return hardware.ParseNVIDIAReport(out.Bytes())
}
