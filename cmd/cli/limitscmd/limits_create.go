package limitscmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"cortex/cmd/cli/cmdutil"
	"cortex/embedded/slotcache"
	"cortex/events"
	model "cortex/projections/limits"
)

// limitFlags has the values of the flags.
type limitFlags struct {
	from, memory, cpu, cpus, gpus, gpuMemory string
	pids, io                                 int64
	oom                                      int
}

func newLimitsCreate(a *commands) *cobra.Command {
	var f limitFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create or replace a profile", Args: cmdutil.Args(1, 1), ValidArgsFunction: a.completeProfiles,
		Long: `Create a profile, or replace the profile of that name. Limits without a flag come
from --from, or are not set. Memory is a size or a share of this machine's memory.
Processors are a number, or a share of this machine's processors.`,
		Example: "  cortex limits create small --memory 2G --cpu 1.5 --pids 200\n  cortex limits create night --from batch --memory 80% --gpus none",
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.makeProfile(cmd, args[0], f)
			if err != nil {
				return err
			}
			position, err := a.SetLimitProfile(cmd.Context(), p)
			if err != nil {
				return err
			}
			return a.PrintResult(map[string]any{"version": model.FormatVersion, "profile": p, "position": position}, func(io.Writer) {
				a.Infof("profile %s saved", p.Name)
			})
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.from, "from", "", "start from the limits of this profile")
	fl.StringVar(&f.memory, "memory", "", "memory of all processes together, as in 2G or 50%")
	fl.StringVar(&f.cpu, "cpu", "", "processor time as a number of processors, as in 1.5 or 50%")
	fl.StringVar(&f.cpus, "cpus", "", "allowed processors, as in 0-3,6")
	fl.Int64Var(&f.pids, "pids", 0, "maximum number of processes and threads")
	fl.Int64Var(&f.io, "io-weight", 0, "disk I/O weight relative to others (1-10000, default 100)")
	fl.IntVar(&f.oom, "oom-score", 0, "order of killing when memory is short (-1000 to 1000, highest first)")
	fl.StringVar(&f.gpus, "gpus", "", "allowed graphics processors, as in none, 0 or 0,2")
	fl.StringVar(&f.gpuMemory, "gpu-memory", "", "memory of each graphics processor, as in 8G")
	_ = cmd.RegisterFlagCompletionFunc("from", func(cmd *cobra.Command, _ []string, s string) ([]string, cobra.ShellCompDirective) {
		return a.completeProfiles(cmd, nil, s)
	})
	return cmd
}

func (a *commands) makeProfile(cmd *cobra.Command, name string, f limitFlags) (p events.LimitProfile, err error) {
	if f.from != "" {
		if p, err = a.profile(cmd.Context(), f.from); err != nil {
			return p, err
		}
	}
	p.Name = name
	set := cmd.Flags().Changed
	if set("memory") {
		if p.MemoryBytes, err = a.share(cmd.Context(), f.memory, "memory.total_b", slotcache.ParseSize); err != nil {
			return p, err
		}
	}
	if set("cpu") {
		p.CPUMillis, err = a.share(cmd.Context(), f.cpu, "cpu.threads", func(s string) (int64, error) {
			n, err := strconv.ParseFloat(s, 64)
			if err != nil || !(n >= 0.01 && n <= events.MaxLimitCPU/1000) {
				return 0, cmdutil.UsageError(cmd, fmt.Errorf("--cpu: invalid number of processors %q: use 0.01 to %d", s, events.MaxLimitCPU/1000))
			}
			return int64(n*1000 + 0.5), nil
		})
		if strings.HasSuffix(f.cpu, "%") {
			p.CPUMillis *= 1000
		}
	}
	if err == nil && set("gpu-memory") {
		p.GPUMemoryBytes, err = slotcache.ParseSize(f.gpuMemory)
	}
	if err != nil {
		return p, err
	}
	for flag, put := range map[string]func(){
		"cpus": func() { p.CPUs = events.CPUs(f.cpus) }, "pids": func() { p.Pids = f.pids }, "io-weight": func() { p.IOWeight = f.io },
		"oom-score": func() { p.OOMScore = f.oom }, "gpus": func() { p.GPUs = events.GPUs(f.gpus) },
	} {
		if set(flag) {
			put()
		}
	}
	if p.Limits == (events.Limits{}) {
		return p, cmdutil.UsageError(cmd, errors.New("a profile needs at least one limit"))
	}
	if err := p.Validate(); err != nil {
		return p, cmdutil.UsageError(cmd, err)
	}
	return p, nil
}

// share parses a percentage as a share of a hardware fact, and other texts with parse.
func (a *commands) share(ctx context.Context, text, key string, parse func(string) (int64, error)) (int64, error) {
	percent, ok := strings.CutSuffix(text, "%")
	if !ok {
		return parse(text)
	}
	n, err := strconv.ParseFloat(percent, 64)
	if err != nil || !(n >= 1 && n <= 100) {
		return 0, &events.Error{Op: "cli.share", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", text), Err: errors.New("invalid share"), Hint: "use 1% to 100%"}
	}
	seen, err := a.ReadHardware(ctx)
	if err != nil {
		return 0, err
	}
	f, _ := events.FindHardwareFact(seen.Facts, key)
	whole, ok := f.Value.Int()
	if !ok {
		return 0, &events.Error{Op: "cli.share", Kind: events.ErrUnavailable, Subject: key, Err: errors.New("unknown on this machine"), Hint: "use a number instead of a share"}
	}
	return int64(float64(whole) * n / 100), nil
}
