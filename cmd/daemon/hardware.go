package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"cortex/cmd/settings"
	"cortex/consumers/surveyor"
	"cortex/events"
	"cortex/producers/hardware"
)

// askTimeout bounds how long NVIDIA's library may take to answer.
const askTimeout = 10 * time.Second

// Hardware looks at the machine that the settings name.
func Hardware(s settings.Settings) *hardware.Collector {
	return hardware.New(hardware.Local(s.Root, askNVIDIA))
}

func probe(s settings.Settings) surveyor.Probe {
	c := Hardware(s)
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

// askNVIDIA runs the program cortex-nvml that lies beside this one. It must not be
// found by the path: the daemon is root.
func askNVIDIA(ctx context.Context) (hardware.NVIDIAReport, error) {
	self, err := os.Executable()
	if err != nil {
		return hardware.NVIDIAReport{}, fmt.Errorf("find cortex-nvml: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), "cortex-nvml")
	if _, err := os.Stat(path); err != nil {
		return hardware.NVIDIAReport{}, errors.New("the program cortex-nvml, which asks, is not installed beside cortex")
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
