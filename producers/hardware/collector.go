package hardware

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"cortex/events"
)

// Config describes the machine to read. FS and Now are required. A nil function is not
// called, and the facts that depend on it have no value.
type Config struct {
	// FS is the machine's root directory.
	FS fs.FS
	// Now is the clock that measures the duration of a collection.
	Now func() time.Time
	// Space returns the size of the file system that holds a path.
	Space func(path string) (Space, error)
	// Hypervisor returns the hypervisor signature of the processor, or "".
	Hypervisor func() string
	// NVIDIA queries the driver's library for its devices.
	NVIDIA func(ctx context.Context) (NVIDIAReport, error)
}

// Space is the size of a file system in bytes and inodes.
type Space struct {
	Total, Free, InodesFree uint64
}

// Reading is the result of one collection.
type Reading struct {
	Facts    []events.HardwareFact // by key
	BootID   string                // "" when it is unknown
	Devices  string                // hash of the set of PCI and USB devices
	Duration time.Duration
}

// Snapshot returns the event that records the reading.
func (r Reading) Snapshot(reason events.HardwareSnapshotReason) *events.HardwareSnapshot {
	return &events.HardwareSnapshot{
		Reason: reason, BootID: r.BootID, DevicesHash: r.Devices, StableHash: events.StableHash(r.Facts),
		Facts: r.Facts, TookUs: r.Duration.Microseconds(),
	}
}

// Collector reads one machine. It holds no state and is safe for concurrent use.
type Collector struct{ cfg Config }

// New returns a collector.
func New(cfg Config) *Collector { return &Collector{cfg} }

// Collect reads all facts. It fails only when ctx is done; a failed read becomes a fact
// with an error.
func (c *Collector) Collect(ctx context.Context) (Reading, error) {
	start := c.cfg.Now()
	r := &factBuilder{fileTree: fileTree{c.cfg.FS}, facts: map[string]events.HardwareFact{}}
	cpu := r.cpu()
	r.memory()
	devices := r.pci()
	devices = append(devices, r.usb()...)
	r.gpus(devices)
	r.accelerators()
	if err := ctx.Err(); err != nil {
		return Reading{}, err
	}
	r.nvidia(ctx, c.cfg.NVIDIA, devices)
	r.disks()
	r.filesystems(c.cfg.Space)
	r.network()
	r.firmware()
	r.power()
	r.system(cpu)
	r.virtualization(cpu, c.cfg.Hypervisor, devices)
	r.container()
	r.cgroups()
	out := Reading{Facts: r.sorted(), Devices: deviceSetHash(devices)}
	out.BootID, _ = r.text("proc/sys/kernel/random/boot_id")
	out.Duration = c.cfg.Now().Sub(start)
	return out, ctx.Err()
}

// deviceSetHash identifies the set of devices and their addresses.
func deviceSetHash(devices []device) string {
	h := sha256.New()
	for _, d := range devices {
		fmt.Fprintf(h, "%s %s %s %s\n", d.bus, d.addr, d.id(), d.class)
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}

// factBuilder collects facts by key.
type factBuilder struct {
	fileTree
	facts  map[string]events.HardwareFact
	pciIDs *pciNames // nil until its first use
}

func (r *factBuilder) add(f events.HardwareFact) {
	if len(f.Key) > events.MaxHardwareKeyBytes || len(r.facts) >= events.MaxHardwareFacts {
		return
	}
	if len(f.Value) > events.MaxHardwareValueBytes {
		f.Value, f.Confidence, f.Error = "", events.ConfidenceUnknown, fmt.Sprintf("the value has %d bytes; the limit is %d", len(f.Value), events.MaxHardwareValueBytes)
	}
	f.Source, f.Error = sanitize(f.Source), sanitize(f.Error)
	r.facts[f.Key] = f
}

// addCertain adds a fact that the kernel, the firmware or a driver reports.
func (r *factBuilder) addCertain(key string, v events.HardwareValue, source string) {
	r.add(events.HardwareFact{Key: key, Value: v, Source: source, Confidence: events.ConfidenceCertain})
}

// addDerived adds a fact that follows from other facts by a rule or a table.
func (r *factBuilder) addDerived(key string, v events.HardwareValue, source string) {
	r.add(events.HardwareFact{Key: key, Value: v, Source: source, Confidence: events.ConfidenceDerived})
}

// addVolatile adds a fact that is valid only at this moment.
func (r *factBuilder) addVolatile(key string, v events.HardwareValue, source string) {
	r.add(events.HardwareFact{Key: key, Value: v, Source: source, Confidence: events.ConfidenceCertain, Volatile: true})
}

// addUnknown adds a fact without a value, with the reason.
func (r *factBuilder) addUnknown(key, source string, err error) {
	r.add(events.HardwareFact{Key: key, Source: source, Confidence: events.ConfidenceUnknown, Error: errorText(err)})
}

// value returns the value of a fact that was added before, or "".
func (r *factBuilder) value(key string) events.HardwareValue { return r.facts[key].Value }

func (r *factBuilder) sorted() []events.HardwareFact {
	out := make([]events.HardwareFact, 0, len(r.facts))
	for _, f := range r.facts {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b events.HardwareFact) int { return cmp.Compare(a.Key, b.Key) })
	return out
}
