package limits

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"cortex/events"
)

// systemd makes transient scopes, and sets properties of units at run time: what is
// set is gone with the next boot.
type systemd struct {
	cfg       Config
	cgroupDir string // where cgroup v2 is mounted
}

func newSystemd(cfg Config) (Backend, error) {
	if !fileExists(filepath.Join(cfg.Root, "run/systemd"), "system") {
		return nil, errors.New("systemd did not start this machine")
	}
	if cfg.UID != 0 {
		return nil, errors.New("only root may make units of the system")
	}
	where, err := readHierarchies(cfg.Root, "self")
	if err != nil {
		return nil, err
	}
	h, ok := where[""]
	if !ok || readGroupFile(h.mount, "cgroup.controllers") == "" {
		return nil, errors.New("systemd does not have cgroup v2 here")
	}
	return &systemd{cfg, h.mount}, nil
}

// Name implements [Backend].
func (*systemd) Name() string { return Systemd }

// property is a setting of a unit. The first of a resource carries its effect.
type property struct{ resource, name, value string }

func (b *systemd) properties(l events.Limits) (list []property, e effects) {
	on := strings.Fields(readGroupFile(b.cgroupDir, "cgroup.controllers"))
	add := func(controller, resource, name, value string) {
		found := controller == ""
		for _, c := range on {
			found = found || c == controller
		}
		if !found {
			e.advisory(resource, value, "", "there is no controller "+controller+" here")
			return
		}
		list = append(list, property{resource, name, value})
		e.enforced(resource, value, name)
	}
	if l.MemoryBytes > 0 {
		add("memory", memory, "MemoryMax", strconv.FormatInt(l.MemoryBytes, 10))
		list = append(list, property{memory, "MemorySwapMax", "0"})
	}
	if l.CPUMillis > 0 {
		add("cpu", cpu, "CPUQuota", fmt.Sprintf("%d.%d%%", l.CPUMillis/10, l.CPUMillis%10))
	}
	if l.CPUs != "" {
		add("cpuset", cpus, "AllowedCPUs", string(l.CPUs))
	}
	if l.Pids > 0 {
		add("pids", pids, "TasksMax", strconv.FormatInt(l.Pids, 10))
	}
	if l.IOWeight > 0 {
		if ok, reason := hasIOWeights(b.cfg.Root); ok {
			add("io", ioWeight, "IOWeight", strconv.FormatInt(l.IOWeight, 10))
		} else {
			e.advisory(ioWeight, strconv.FormatInt(l.IOWeight, 10), "IOWeight", reason)
			list = append(list, property{ioWeight, "IOWeight", strconv.FormatInt(l.IOWeight, 10)})
		}
	}
	e.adviseGPUMemory(l, "this systemd has no property for the memory of devices")
	return list, e
}

// Prepare implements [Backend]. The scope is made when the program starts.
func (b *systemd) Prepare(_ context.Context, unit string, l events.Limits) (LaunchSpec, []events.LimitEffect, error) {
	list, e := b.properties(l)
	entry := LaunchSpec{OOMScore: l.OOMScore, Env: gpuEnv(l.GPUs), Launcher: []string{"systemd-run", "--scope", "--quiet", "--unit=" + unit}}
	for _, p := range append(list, b.deviceProperties(l)...) {
		entry.Launcher = append(entry.Launcher, "--property="+p.name+"="+p.value)
	}
	entry.Launcher = append(entry.Launcher, "--")
	if l.GPUs != "" {
		e.enforced(gpu, string(l.GPUs), "DevicePolicy=closed and DeviceAllow")
	}
	if l.OOMScore != 0 {
		e.enforced(oom, strconv.Itoa(l.OOMScore), "oom_score_adj")
	}
	return entry, e, nil
}

// deviceProperties allows what every program needs, terminals, and the gpus that are named.
func (b *systemd) deviceProperties(l events.Limits) []property {
	if l.GPUs == "" {
		return nil
	}
	out := []property{{gpu, "DevicePolicy", "closed"}, {gpu, "DeviceAllow", "char-pts rw"}, {gpu, "DeviceAllow", "/dev/tty rw"}}
	allowed, _ := splitDevices(gpuNodes(filepath.Join(b.cfg.Root, "dev")), l.GPUs)
	for _, n := range allowed {
		out = append(out, property{gpu, "DeviceAllow", n.path + " rw"})
	}
	return out
}

// Attach implements [Backend]: target is a unit.
func (b *systemd) Attach(ctx context.Context, _, target string, l events.Limits) (string, []events.LimitEffect, error) {
	if strings.Trim(target, "0123456789") == "" || strings.HasPrefix(target, "-") {
		return "", nil, &events.Error{Op: "limits.Attach", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", target), Err: errors.New("is no unit"), Hint: "systemctl status NUMBER tells the unit of a process"}
	}
	if !strings.Contains(target, ".") {
		target += ".service"
	}
	if s, err := b.show(ctx, target, "ActiveState"); err != nil || s["ActiveState"] != "active" {
		return "", nil, errors.Join(err, &events.Error{Op: "limits.Attach", Kind: events.ErrNotFound, Subject: target, Err: errors.New("no such unit is active")})
	}
	list, e := b.properties(l)
	names, argv := []string{}, []string{"systemctl", "set-property", "--runtime", "--", target}
	for _, p := range list {
		names = append(names, property{name: p.name}.showName())
		argv = append(argv, p.name+"="+p.value)
	}
	before, err := b.show(ctx, target, names...)
	if err != nil {
		return "", nil, err
	}
	if len(list) > 0 {
		if _, err := b.cfg.Run(ctx, argv...); err != nil {
			return "", nil, permissionError("limits.Attach", err)
		}
	}
	for i := range e {
		var old []string
		for _, p := range list {
			if p.resource == e[i].Resource {
				old = append(old, p.name+"="+p.restoreValue(before[p.showName()]))
			}
		}
		e[i].Before = strings.Join(old, " ")
	}
	e.adviseGPU(l, "a unit that runs keeps the devices it was started with")
	if l.OOMScore != 0 {
		e.advisory(oom, strconv.Itoa(l.OOMScore), "", "it is given to a program when it starts")
	}
	return target, e, nil
}

// showName is the name under which systemctl show gives a property.
func (p property) showName() string {
	if p.name == "CPUQuota" {
		return "CPUQuotaPerSecUSec"
	}
	return p.name
}

// restoreValue is the value that sets a property to what was shown.
func (p property) restoreValue(shown string) string {
	switch {
	case p.name == "CPUQuota":
		return quotaPercent(shown)
	case shown == "[not set]", p.name == "IOWeight" && shown == "18446744073709551615":
		return ""
	case shown == "18446744073709551615":
		return "infinity"
	}
	return shown
}

// quotaPercent makes a share of time per second, 500ms or 1.5s, a percentage.
func quotaPercent(shown string) string {
	for suffix, factor := range map[string]float64{"us": 1e-4, "ms": 0.1, "s": 100} {
		n, err := strconv.ParseFloat(strings.TrimSuffix(shown, suffix), 64)
		if err == nil && strings.HasSuffix(shown, suffix) {
			return strconv.FormatFloat(n*factor, 'f', -1, 64) + "%"
		}
	}
	return "" // infinity
}

func (b *systemd) show(ctx context.Context, unit string, names ...string) (map[string]string, error) {
	out, err := b.cfg.Run(ctx, "systemctl", "show", "--property="+strings.Join(names, ","), "--", unit)
	if err != nil {
		return nil, fmt.Errorf("read properties of %s: %w", unit, err)
	}
	values := map[string]string{}
	for line := range strings.Lines(out) {
		if k, v, ok := strings.Cut(strings.TrimRight(line, "\n"), "="); ok {
			values[k] = v
		}
	}
	return values, nil
}

// unitName is the unit of systemd that an applied profile is.
func (*systemd) unitName(a events.LimitsApplied) string {
	if a.How == "attach" {
		return a.Unit
	}
	return a.Unit + ".scope"
}

// Usage implements [Backend].
func (b *systemd) Usage(ctx context.Context, a events.LimitsApplied) (events.LimitUsage, error) {
	s, err := b.show(ctx, b.unitName(a), "ControlGroup")
	if err != nil {
		return events.UnknownUsage, err
	}
	if s["ControlGroup"] == "" || !fileExists(filepath.Join(b.cgroupDir, s["ControlGroup"]), "cgroup.procs") {
		return events.UnknownUsage, groupGoneError(a.Unit)
	}
	return cgroupV2Usage(filepath.Join(b.cgroupDir, s["ControlGroup"])), nil
}

// Revert implements [Backend]: a scope that runs is freed of its limits, a unit gets
// back what it had.
func (b *systemd) Revert(ctx context.Context, a events.LimitsApplied) error {
	unit := b.unitName(a)
	if s, err := b.show(ctx, unit, "ActiveState"); err != nil || s["ActiveState"] != "active" {
		return err
	}
	argv := []string{"systemctl", "set-property", "--runtime", "--", unit}
	for _, e := range a.Effects {
		switch {
		case e.Before != "":
			argv = append(argv, strings.Fields(e.Before)...)
		case a.How == "run" && e.Resource == gpu && e.Enforced:
			argv = append(argv, "DevicePolicy=auto", "DeviceAllow=")
		case a.How == "run":
			argv = append(argv, unlimitedProperties[e.Resource]...)
		}
	}
	if len(argv) == 5 {
		return nil
	}
	if _, err := b.cfg.Run(ctx, argv...); err != nil {
		return fmt.Errorf("free %s: %w", unit, err)
	}
	return nil
}

// unlimitedProperties sets a resource's properties to no limit.
var unlimitedProperties = map[string][]string{
	memory: {"MemoryMax=infinity", "MemorySwapMax=infinity"}, cpu: {"CPUQuota="}, cpus: {"AllowedCPUs="},
	pids: {"TasksMax=infinity"}, ioWeight: {"IOWeight="},
}
