package limits

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"cortex/events"
)

// systemd makes transient scopes, and sets runtime properties of units, which end with the
// next boot.
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
	if !fileExists(filepath.Join(cfg.Root, "run/dbus"), "system_bus_socket") {
		return nil, errors.New("the system bus is not running")
	}
	where, err := readHierarchies(cfg.Root, 0)
	if err != nil {
		return nil, err
	}
	h, ok := where[""]
	if !ok || readGroupFile(h.mount, "cgroup.controllers") == "" {
		return nil, errors.New("systemd does not use cgroup v2 here")
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
			e.advisory(resource, value, "", "the controller "+controller+" is missing here")
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

// Try implements [Backend]. Systemd accepts what its controllers can do, so no unit is made.
func (b *systemd) Try(_ context.Context, _ string, l events.Limits) ([]events.LimitEffect, error) {
	_, e := b.startProperties(l)
	if l.OOMScore != 0 {
		e.enforced(oom, strconv.Itoa(l.OOMScore), "oom_score_adj")
	}
	return e, nil
}

// startProperties are those of a scope.
func (b *systemd) startProperties(l events.Limits) ([]property, effects) {
	list, e := b.properties(l)
	if l.GPUs != "" {
		e.enforced(gpu, string(l.GPUs), "DevicePolicy=closed and DeviceAllow")
	}
	return append(list, b.deviceProperties(l)...), e
}

// scopeTimeout bounds how long systemd takes to move a process into its scope.
const scopeTimeout = 5 * time.Second

// Start implements [Backend]: it makes a scope around the process, and sets its properties
// while the process waits. Where that fails the scope ends with the process.
func (b *systemd) Start(ctx context.Context, p Placement, note NoteFunc) ([]events.LimitEffect, error) {
	if err := note(p.Unit, nil); err != nil {
		return nil, err
	}
	scope := p.Unit + ".scope"
	list, e := b.startProperties(p.Limits)
	if err := b.makeScope(ctx, p, scope); err != nil {
		return nil, err
	}
	argv := []string{"systemctl", "set-property", "--runtime", "--", scope}
	for _, prop := range list {
		argv = append(argv, prop.name+"="+prop.value)
	}
	if len(list) > 0 {
		if _, err := b.cfg.Run(ctx, argv...); err != nil {
			return nil, permissionError("limits.Start", err)
		}
	}
	return e, setOOMScore(b.cfg.Root, p, &e)
}

// makeScope makes a scope around a process, unless a crash cut off a Start that had made it.
func (b *systemd) makeScope(ctx context.Context, p Placement, scope string) error {
	if where, err := readHierarchies(b.cfg.Root, p.PID); err != nil || filepath.Base(where[""].ownGroup) == scope {
		return err
	}
	if _, err := b.cfg.Run(ctx, "busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))",
		scope, "fail", "2", "Description", "s", "Limits "+p.Unit+" of Cortex", "PIDs", "au", "1", strconv.Itoa(p.PID), "0"); err != nil {
		return permissionError("limits.Start", err)
	}
	return b.waitInScope(ctx, p.PID, scope)
}

// waitInScope returns once the process is in the scope.
func (b *systemd) waitInScope(ctx context.Context, pid int, scope string) error {
	for end := time.Now().Add(scopeTimeout); ; {
		where, err := readHierarchies(b.cfg.Root, pid)
		switch {
		case err != nil:
			return err
		case filepath.Base(where[""].ownGroup) == scope:
			return nil
		case time.Now().After(end):
			return &events.Error{Op: "limits.Start", Kind: events.ErrUnavailable, Subject: scope, Err: fmt.Errorf("systemd did not move process %d into it within %s", pid, scopeTimeout), Hint: "see: systemctl status " + scope}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// deviceProperties allow the devices of every program, terminals, and the named gpus.
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

// Attach implements [Backend]: the target is a unit.
func (b *systemd) Attach(ctx context.Context, p Placement, note NoteFunc) (string, []events.LimitEffect, error) {
	target, l := p.Target, p.Limits
	if p.PID != 0 || strings.HasPrefix(target, "-") {
		return "", nil, &events.Error{Op: "limits.Attach", Kind: events.ErrUsage, Subject: fmt.Sprintf("%q", target), Err: errors.New("not a unit"), Hint: "to find the unit of a process: systemctl status NUMBER"}
	}
	if !strings.Contains(target, ".") {
		target += ".service"
	}
	if s, err := b.show(ctx, target, "ActiveState"); err != nil || s["ActiveState"] != "active" {
		return "", nil, errors.Join(err, &events.Error{Op: "limits.Attach", Kind: events.ErrNotFound, Subject: target, Err: errors.New("the unit is not active")})
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
	for i := range e {
		var old []string
		for _, p := range list {
			if p.resource == e[i].Resource {
				old = append(old, p.name+"="+p.restoreValue(before[p.showName()]))
			}
		}
		e[i].Before = strings.Join(old, " ")
	}
	e.adviseGPU(l, "a running unit keeps the devices from its start")
	if l.OOMScore != 0 {
		e.advisory(oom, strconv.Itoa(l.OOMScore), "", "it is set only when a program starts")
	}
	if err := note(target, e); err != nil {
		return "", nil, err
	}
	if len(list) > 0 {
		if _, err := b.cfg.Run(ctx, argv...); err != nil {
			return "", nil, permissionError("limits.Attach", err)
		}
	}
	return target, e, nil
}

// showName is the name of a property in the output of systemctl show.
func (p property) showName() string {
	if p.name == "CPUQuota" {
		return "CPUQuotaPerSecUSec"
	}
	return p.name
}

// restoreValue is the value that restores a property from the output of systemctl show.
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

// quotaPercent turns time per second, such as 500ms or 1.5s, into a percentage.
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

// unitName is the name of the unit in systemd.
func (*systemd) unitName(a events.LimitsApplied) string {
	if a.How == events.LimitsAttach {
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

// Revert implements [Backend]: it removes the limits of a scope, and restores those of a unit.
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
		case a.How == events.LimitsRun && e.Resource == gpu && e.Enforced:
			argv = append(argv, "DevicePolicy=auto", "DeviceAllow=")
		case a.How == events.LimitsRun:
			argv = append(argv, unlimitedProperties[e.Resource]...)
		}
	}
	if len(argv) == 5 {
		return nil
	}
	if _, err := b.cfg.Run(ctx, argv...); err != nil {
		return fmt.Errorf("remove the limits of %s: %w", unit, err)
	}
	return nil
}

// unlimitedProperties remove the limit of a resource.
var unlimitedProperties = map[string][]string{
	memory: {"MemoryMax=infinity", "MemorySwapMax=infinity"}, cpu: {"CPUQuota="}, cpus: {"AllowedCPUs="},
	pids: {"TasksMax=infinity"}, ioWeight: {"IOWeight="},
}
