package hardware

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cortex/events"
)

// NVIDIAReport is the data of NVIDIA's management library.
type NVIDIAReport struct {
	Driver  string         `json:"driver,omitempty"`
	CUDA    string         `json:"cuda,omitempty"` // the newest version that the driver supports, such as 12.4
	Devices []NVIDIADevice `json:"devices"`
}

// NVIDIADevice is one device. Errors has the reason for each field without a value, by the
// name of the field.
type NVIDIADevice struct {
	PCI     string            `json:"pci"` // 0000:01:00.0
	Name    string            `json:"name,omitempty"`
	TotalB  uint64            `json:"total_b,omitempty"`
	UsedB   uint64            `json:"used_b,omitempty"`
	Compute string            `json:"compute,omitempty"` // compute capability, such as 9.0
	MIG     string            `json:"mig,omitempty"`     // enabled, disabled, unsupported
	Errors  map[string]string `json:"errors,omitempty"`
}

// errNoValue means that the library returned neither a value nor an error.
var errNoValue = errors.New("the library does not report it")

// maxNVIDIAReportBytes limits the output of cortex-nvml.
const maxNVIDIAReportBytes = 1 << 20

// ParseNVIDIAReport reads the report that the program cortex-nvml prints.
func ParseNVIDIAReport(data []byte) (NVIDIAReport, error) {
	var r NVIDIAReport
	if len(data) > maxNVIDIAReportBytes {
		return r, fmt.Errorf("read the report of cortex-nvml: it has %d bytes; the limit is %d", len(data), maxNVIDIAReportBytes)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return NVIDIAReport{}, fmt.Errorf("read the report of cortex-nvml: %w", err)
	}
	for i, d := range r.Devices {
		if !validPCIAddress(d.PCI) {
			return NVIDIAReport{}, fmt.Errorf("read the report of cortex-nvml: device %d: invalid PCI address %.40q", i, d.PCI)
		}
	}
	return r, nil
}

// validPCIAddress reports whether a text has the form DOMAIN:BUS:DEVICE.FUNCTION. The domain
// has four to eight digits.
func validPCIAddress(s string) bool {
	domain, rest, ok := strings.Cut(s, ":")
	if !ok || len(domain) < 4 || len(domain) > 8 || len(rest) != 7 || rest[2] != ':' || rest[5] != '.' {
		return false
	}
	return strings.Trim(domain+rest[:2]+rest[3:5]+rest[6:], "0123456789abcdef") == ""
}

// nvidia adds the facts of NVIDIA's devices: from the library if the driver is loaded, from
// files of the driver, and from the table of device numbers.
func (r *factBuilder) nvidia(ctx context.Context, query func(context.Context) (NVIDIAReport, error), devices []device) {
	var cards []device
	loaded := false
	for _, d := range devices {
		if d.vendor == vendorNVIDIA && (d.isGPU() || d.isAccelerator()) {
			cards = append(cards, d)
			loaded = loaded || d.driver == "nvidia"
		}
	}
	if len(cards) == 0 {
		return
	}
	for _, d := range cards {
		r.nvidiaArchitecture(gpuKey(d), d)
	}
	if text, err := r.read("proc/driver/nvidia/version"); err == nil {
		loaded = true
		if v := nvidiaVersion(text); v != "" {
			r.addCertain("nvidia.driver_version", events.TextValue(v), "/proc/driver/nvidia/version")
		}
	}
	const source = "libnvidia-ml.so.1"
	report, err := NVIDIAReport{}, errors.New("the driver nvidia is not loaded")
	if loaded && query == nil {
		err = errors.New("the library was not queried")
	} else if loaded {
		report, err = query(ctx)
	}
	if report.CUDA != "" {
		r.addCertain("nvidia.cuda_version", events.TextValue(sanitize(report.CUDA)), source)
	} else {
		r.addUnknown("nvidia.cuda_version", source, cmp.Or(err, errNoValue))
	}
	if report.Driver != "" {
		r.addCertain("nvidia.driver_version", events.TextValue(sanitize(report.Driver)), source)
	}
	byAddr := map[string]NVIDIADevice{}
	for _, d := range report.Devices {
		byAddr[d.PCI] = d
	}
	for _, d := range cards {
		n, ok := byAddr[d.addr]
		if !ok && err == nil {
			n.Errors = map[string]string{"total_b": "the library does not list this device", "used_b": "the library does not list this device"}
		}
		r.nvidiaDevice(gpuKey(d), source, n, err)
		r.nvidiaName(gpuKey(d), d)
	}
}

func (r *factBuilder) nvidiaDevice(key, source string, n NVIDIADevice, err error) {
	missing := func(field string) error {
		if why := n.Errors[field]; why != "" {
			return errors.New(why)
		}
		return cmp.Or(err, errNoValue)
	}
	if n.TotalB > 0 {
		r.addCertain(key+"vram_total_b", events.NumberValue(int64(n.TotalB)), source)
	} else {
		r.addUnknown(key+"vram_total_b", source, missing("total_b"))
	}
	if _, failed := n.Errors["used_b"]; err == nil && !failed {
		r.addVolatile(key+"vram_used_b", events.NumberValue(int64(n.UsedB)), source)
	}
	if n.Name != "" {
		r.addCertain(key+"name", events.TextValue(sanitize(n.Name)), source)
	}
	if n.Compute != "" {
		r.addCertain(key+"compute", events.TextValue(sanitize(n.Compute)), source)
	}
	if n.MIG != "" {
		r.addCertain(key+"mig", events.TextValue(sanitize(n.MIG)), source)
	}
}

// nvidiaName adds the name from a file of the driver, unless the library returned one.
func (r *factBuilder) nvidiaName(key string, d device) {
	if f := r.facts[key+"name"]; f.Value != "" && f.Confidence == events.ConfidenceCertain {
		return
	}
	p := "proc/driver/nvidia/gpus/" + d.addr + "/information"
	text, err := r.read(p)
	if err != nil {
		return // keep the fact from the list of PCI devices
	}
	if name := parseFields(text, ":")["Model"]; name != "" {
		r.addCertain(key+"name", events.TextValue(sanitize(name)), "/"+p)
	}
}

// nvidiaVersion returns the version in a line such as "NVRM version: NVIDIA UNIX x86_64
// Kernel Module  535.183.01  Sun May 12 …", or "".
func nvidiaVersion(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	for _, word := range strings.Fields(line) {
		if strings.Contains(word, ".") && strings.Trim(word, "0123456789.") == "" {
			return word
		}
	}
	return ""
}

// nvidiaChip is a chip family and the range of its device numbers.
type nvidiaChip struct {
	first, last uint64
	name        string
	compute     string // compute capability
}

// nvidiaChips lists the chip families. The first range that has a number counts, so a narrow
// range comes before a wide one.
var nvidiaChips = []nvidiaChip{
	{0x0fc0, 0x0fff, "Kepler", "3.0"},
	{0x1000, 0x103f, "Kepler", "3.5"},
	{0x1180, 0x11ff, "Kepler", "3.0"},
	{0x1280, 0x12bf, "Kepler", "3.5"},
	{0x1340, 0x13bf, "Maxwell", "5.0"},
	{0x13c0, 0x143f, "Maxwell", "5.2"},
	{0x15f0, 0x15ff, "Pascal", "6.0"},
	{0x1617, 0x1667, "Maxwell", "5.2"},
	{0x174d, 0x179c, "Maxwell", "5.0"},
	{0x17c2, 0x17fd, "Maxwell", "5.2"},
	{0x1b00, 0x1d7f, "Pascal", "6.1"},
	{0x1d81, 0x1dff, "Volta", "7.0"},
	{0x1e00, 0x1fff, "Turing", "7.5"},
	{0x2080, 0x20ff, "Ampere", "8.0"},
	{0x2180, 0x21ff, "Turing", "7.5"},
	{0x2300, 0x237f, "Hopper", "9.0"},
	{0x2200, 0x25ff, "Ampere", "8.6"},
	{0x2680, 0x28ff, "Ada Lovelace", "8.9"},
	{0x2900, 0x29ff, "Blackwell", "10.0"},
	{0x2b80, 0x2fff, "Blackwell", "12.0"},
}

// findNVIDIAChip returns the family of a device number. ok is false when the number is not in
// the table.
func findNVIDIAChip(product string) (nvidiaChip, bool) {
	n, err := strconv.ParseUint(product, 16, 16)
	if err != nil {
		return nvidiaChip{}, false
	}
	for _, c := range nvidiaChips {
		if n >= c.first && n <= c.last {
			return c, true
		}
	}
	return nvidiaChip{}, false
}

func (r *factBuilder) nvidiaArchitecture(key string, d device) {
	const source = "table of device numbers"
	c, ok := findNVIDIAChip(d.product)
	if !ok {
		err := errors.New(d.id() + " is not in the table")
		r.addUnknown(key+"architecture", source, err)
		r.addUnknown(key+"compute", source, err)
		return
	}
	r.addDerived(key+"architecture", events.TextValue(c.name), source)
	r.addDerived(key+"compute", events.TextValue(c.compute), source)
}
