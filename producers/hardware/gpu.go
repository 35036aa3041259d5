package hardware

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cortex/events"
)

// PCI vendor numbers of graphics cards and accelerators.
const (
	vendorAMD    = "1002"
	vendorIntel  = "8086"
	vendorNVIDIA = "10de"
	vendorVirtio = "1af4"
)

var gpuVendors = map[string]string{
	vendorAMD: "AMD", vendorIntel: "Intel", vendorNVIDIA: "NVIDIA", vendorVirtio: "virtio", "1a03": "ASPEED", "102b": "Matrox",
	"1234": "QEMU", "15ad": "VMware", "1b36": "Red Hat", "80ee": "VirtualBox", "1414": "Microsoft",
}

// isGPU reports whether the device is a display controller. NVIDIA's accelerators are display
// controllers of the subclass "3D controller".
func (d device) isGPU() bool { return d.bus == "pci" && strings.HasPrefix(d.class, "03") }

// isAccelerator reports whether the device has the PCI class "processing accelerator".
func (d device) isAccelerator() bool { return d.bus == "pci" && strings.HasPrefix(d.class, "12") }

func gpuKey(d device) string {
	if d.isAccelerator() {
		return "accelerator." + d.addr + "."
	}
	return "gpu." + d.addr + "."
}

// gpus adds graphics cards and processing accelerators with the facts in files of the kernel.
// [factBuilder.nvidia] adds those of NVIDIA's driver.
func (r *factBuilder) gpus(devices []device) {
	gpus, accelerators := int64(0), int64(0)
	for _, d := range devices {
		switch {
		case d.isGPU():
			gpus++
		case d.isAccelerator():
			accelerators++
		default:
			continue
		}
		key, source := gpuKey(d), "/"+d.dir
		r.addCertain(key+"id", events.TextValue(d.id()), source)
		if name := gpuVendors[d.vendor]; name != "" {
			r.addDerived(key+"vendor", events.TextValue(name), source)
		}
		if name, err := r.pciName(d); err == nil {
			r.add(events.HardwareFact{Key: key + "name", Value: events.TextValue(name), Source: pciIDsPath, Confidence: events.ConfidenceDerived, Volatile: true})
		} else {
			r.add(events.HardwareFact{Key: key + "name", Source: pciIDsPath, Confidence: events.ConfidenceUnknown, Error: errorText(err), Volatile: true})
		}
		if d.driver != "" {
			r.addCertain(key+"driver", events.TextValue(d.driver), source+"/driver")
		} else {
			r.addUnknown(key+"driver", source+"/driver", errors.New("no driver is bound"))
		}
		switch {
		case d.vendor == vendorAMD && d.isGPU():
			r.amd(key, d)
		case d.vendor == vendorIntel && d.isGPU():
			r.intel(key, d)
		}
	}
	if r.value("pci.devices") != "" {
		r.addDerived("gpu.count", events.NumberValue(gpus), "/"+pciDir)
		r.addDerived("accelerator.count", events.NumberValue(accelerators), "/"+pciDir)
		return
	}
	r.addUnknown("gpu.count", "/"+pciDir, errors.New("the kernel lists no PCI bus"))
}

// amd adds the facts of the driver amdgpu. On processors with integrated graphics, VRAM is the
// memory that the firmware reserves; GTT is the further memory that the graphics can use.
func (r *factBuilder) amd(key string, d device) {
	for _, f := range []struct {
		name, file string
		volatile   bool
	}{
		{"vram_total_b", "mem_info_vram_total", false},
		{"vram_used_b", "mem_info_vram_used", true},
		{"gtt_total_b", "mem_info_gtt_total", false},
		{"gtt_used_b", "mem_info_gtt_used", true},
	} {
		source := "/" + d.dir + "/" + f.file
		n, err := r.number(d.dir + "/" + f.file)
		switch {
		case err != nil && d.driver != "amdgpu":
			r.addUnknown(key+f.name, source, errors.New("only the driver amdgpu reports it"))
		case err != nil:
			r.addUnknown(key+f.name, source, err)
		case f.volatile:
			r.addVolatile(key+f.name, events.NumberValue(n), source)
		default:
			r.addCertain(key+f.name, events.NumberValue(n), source)
		}
	}
	if v, err := r.text("sys/module/amdgpu/version"); err == nil {
		r.addCertain(key+"driver_version", events.TextValue(v), "/sys/module/amdgpu/version")
	}
	const nodes = "sys/class/kfd/kfd/topology/nodes"
	for _, n := range r.list(nodes) {
		text, err := r.read(nodes + "/" + n + "/properties")
		if err != nil {
			continue
		}
		p := parseFields(text, " ")
		if kfdAddress(p) != d.addr {
			continue
		}
		source := "/" + nodes + "/" + n + "/properties"
		if target := gfxTarget(p["gfx_target_version"]); target != "" {
			r.addCertain(key+"gfx", events.TextValue(target), source)
		}
		if n, err := strconv.ParseInt(p["simd_count"], 10, 32); err == nil && n > 0 {
			r.addCertain(key+"simds", events.NumberValue(n), source)
		}
	}
}

// kfdAddress returns the PCI address in the properties of a compute node.
func kfdAddress(p map[string]string) string {
	loc, err := strconv.ParseUint(p["location_id"], 10, 16)
	domain, err2 := strconv.ParseUint(cmp.Or(p["domain"], "0"), 10, 32)
	if err != nil || err2 != nil || loc == 0 {
		return ""
	}
	return fmt.Sprintf("%04x:%02x:%02x.%x", domain, loc>>8, loc>>3&0x1f, loc&7)
}

// gfxTarget formats a target version of major, minor and stepping: 110000 is gfx1100, and
// 90402 is gfx942.
func gfxTarget(s string) string {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return ""
	}
	return fmt.Sprintf("gfx%d%x%x", n/10000, n/100%100, n%100)
}

// intel adds the memory of Intel graphics. Integrated graphics use the memory of the machine.
// For cards the kernel does not report the size; the largest memory window is a lower bound.
func (r *factBuilder) intel(key string, d device) {
	if d.addr == "0000:00:02.0" {
		r.addDerived(key+"shares_memory", events.BoolValue(true), "/"+d.dir)
		return
	}
	source := "/" + d.dir + "/resource"
	text, err := r.read(d.dir + "/resource")
	if err != nil {
		r.addUnknown(key+"vram_min_b", source, err)
		return
	}
	if n := largestWindow(text); n > 0 {
		r.add(events.HardwareFact{Key: key + "vram_min_b", Value: events.NumberValue(n), Source: source, Confidence: events.ConfidenceGuess})
	}
}

// largestWindow returns the size of the largest prefetchable memory window in the resource
// file of a PCI device.
func largestWindow(text string) int64 {
	const memory, prefetch = 0x200, 0x2000
	best := int64(0)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		start, err := strconv.ParseUint(f[0], 0, 64)
		end, err2 := strconv.ParseUint(f[1], 0, 64)
		flags, err3 := strconv.ParseUint(f[2], 0, 64)
		if errors.Join(err, err2, err3) != nil || flags&memory == 0 || flags&prefetch == 0 || end <= start || end-start >= 1<<50 {
			continue
		}
		best = max(best, int64(end-start)+1)
	}
	return best
}

// accelerators adds the devices with a driver of the kernel's accel subsystem, such as neural
// processing units.
func (r *factBuilder) accelerators() {
	const dir = "sys/class/accel"
	for _, name := range r.list(dir) {
		at, key := dir+"/"+name+"/device", "npu."+name+"."
		vendor, err := r.text(at + "/vendor")
		product, err2 := r.text(at + "/device")
		if errors.Join(err, err2) == nil {
			r.addCertain(key+"id", events.TextValue(strings.TrimPrefix(vendor, "0x")+":"+strings.TrimPrefix(product, "0x")), "/"+at)
		} else {
			r.addUnknown(key+"id", "/"+at, errors.Join(err, err2))
		}
		if d := r.linkBase(at + "/driver"); d != "" {
			r.addCertain(key+"driver", events.TextValue(d), "/"+at+"/driver")
		}
	}
}

const pciIDsPath = "/usr/share/misc/pci.ids"

// pciName returns the name of a device from the list in the package pci.ids.
func (r *factBuilder) pciName(d device) (string, error) {
	if r.pciIDs == nil {
		text, err := r.read(strings.TrimPrefix(pciIDsPath, "/"))
		if isNotExist(err) {
			err = errors.New("the package pci.ids is not installed")
		}
		r.pciIDs = &pciNames{text, err}
	}
	if r.pciIDs.err != nil {
		return "", r.pciIDs.err
	}
	name := findPCIName(r.pciIDs.text, d.vendor, d.product)
	if name == "" {
		return "", errors.New("the list has no device " + d.id())
	}
	return sanitize(name), nil
}

// pciNames is the list, or the error of reading it.
type pciNames struct {
	text string
	err  error
}

// findPCIName returns "VENDOR DEVICE" from a pci.ids file, or "" when the device is missing.
func findPCIName(list, vendor, product string) string {
	_, rest, ok := strings.Cut("\n"+list, "\n"+vendor+"  ")
	if !ok {
		return ""
	}
	maker, rest, _ := strings.Cut(rest, "\n")
	for line := range strings.Lines(rest) {
		if line[0] != '\t' && line[0] != '#' && line[0] != '\n' {
			break // the next vendor
		}
		if name, ok := strings.CutPrefix(line, "\t"+product+"  "); ok {
			return strings.TrimSpace(maker) + " " + strings.TrimSpace(name)
		}
	}
	return ""
}
