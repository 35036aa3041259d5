// Package nvml queries NVIDIA's management library, which it loads at run time without cgo.
//
// It promises that each [Query] initialises the library, shuts it down once, and changes
// nothing on the devices. For a value that it cannot read, the report names the failed call
// and its return code.
//
// A crash of the library ends the process that loaded it. For this reason the separate
// program cmd/cortex-nvml uses this package, and the daemon does not.
package nvml

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/ebitengine/purego"

	"cortex/producers/hardware"
)

// Library is the file name of the library, as the dynamic linker finds it.
const Library = "libnvidia-ml.so.1"

// Return codes of the library.
const (
	success      = 0
	notSupported = 3
)

// maxDevices is the maximum number of devices that are queried.
const maxDevices = 256

// memory is nvmlMemory_t.
//
//lint:ignore U1000 the library fills in every field
type memory struct{ total, free, used uint64 }

// pciInfo is nvmlPciInfo_t.
//
//lint:ignore U1000 the library fills in every field
type pciInfo struct {
	legacy                                      [16]byte
	domain, bus, device, deviceID, subSystemIDs uint32
	busID                                       [32]byte
}

// library holds the functions that are called.
type library struct {
	initialise   func() int32
	shutdown     func() int32
	driver       func(buf *byte, size uint32) int32
	cuda         func(v *int32) int32
	count        func(n *uint32) int32
	handle       func(i uint32, dev *uintptr) int32
	name         func(dev uintptr, buf *byte, size uint32) int32
	memory       func(dev uintptr, m *memory) int32
	compute      func(dev uintptr, major, minor *int32) int32
	pci          func(dev uintptr, p *pciInfo) int32
	mig          func(dev uintptr, current, pending *uint32) int32
	closeLibrary func() error
}

// Query loads the library, by its path or its name, and reads every device.
func Query(path string) (report hardware.NVIDIAReport, err error) {
	lib, err := load(path)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, lib.closeLibrary()) }()
	if rc := lib.initialise(); rc != success {
		return report, callError("nvmlInit_v2", rc)
	}
	defer lib.shutdown()
	var text [96]byte
	if rc := lib.driver(&text[0], uint32(len(text))); rc == success {
		report.Driver = cstring(text[:])
	}
	var v int32
	if rc := lib.cuda(&v); rc == success {
		report.CUDA = fmt.Sprintf("%d.%d", v/1000, v%1000/10)
	}
	var n uint32
	if rc := lib.count(&n); rc != success {
		return report, callError("nvmlDeviceGetCount_v2", rc)
	}
	if n > maxDevices {
		return report, fmt.Errorf("the library reports %d devices; the limit is %d", n, maxDevices)
	}
	for i := range n {
		d, err := lib.device(i)
		if err != nil {
			return report, err
		}
		report.Devices = append(report.Devices, d)
	}
	return report, nil
}

// device reads the device with the index i.
func (lib library) device(i uint32) (hardware.NVIDIADevice, error) {
	d := hardware.NVIDIADevice{Errors: map[string]string{}}
	var dev uintptr
	if rc := lib.handle(i, &dev); rc != success {
		return d, fmt.Errorf("device %d: %w", i, callError("nvmlDeviceGetHandleByIndex_v2", rc))
	}
	var p pciInfo
	if rc := lib.pci(dev, &p); rc != success {
		return d, fmt.Errorf("device %d: %w", i, callError("nvmlDeviceGetPciInfo_v3", rc))
	}
	d.PCI = fmt.Sprintf("%04x:%02x:%02x.0", p.domain, p.bus, p.device)
	fail := func(field, call string, rc int32) { d.Errors[field] = callError(call, rc).Error() }
	var text [96]byte
	if rc := lib.name(dev, &text[0], uint32(len(text))); rc == success {
		d.Name = cstring(text[:])
	} else {
		fail("name", "nvmlDeviceGetName", rc)
	}
	var m memory
	if rc := lib.memory(dev, &m); rc == success {
		d.TotalB, d.UsedB = m.total, m.used
	} else {
		fail("total_b", "nvmlDeviceGetMemoryInfo", rc)
		fail("used_b", "nvmlDeviceGetMemoryInfo", rc)
	}
	var major, minor int32
	if rc := lib.compute(dev, &major, &minor); rc == success {
		d.Compute = fmt.Sprintf("%d.%d", major, minor)
	} else {
		fail("compute", "nvmlDeviceGetCudaComputeCapability", rc)
	}
	var current, pending uint32
	switch rc := lib.mig(dev, &current, &pending); {
	case rc == notSupported:
		d.MIG = "unsupported"
	case rc != success:
		fail("mig", "nvmlDeviceGetMigMode", rc)
	case current == 1:
		d.MIG = "enabled"
	default:
		d.MIG = "disabled"
	}
	return d, nil
}

// load opens the library and finds its functions.
func load(path string) (lib library, err error) {
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return lib, fmt.Errorf("load %s: %w", path, err)
	}
	lib.closeLibrary = func() error { return purego.Dlclose(h) }
	for name, f := range map[string]any{
		"nvmlInit_v2": &lib.initialise, "nvmlShutdown": &lib.shutdown,
		"nvmlSystemGetDriverVersion": &lib.driver, "nvmlSystemGetCudaDriverVersion_v2": &lib.cuda,
		"nvmlDeviceGetCount_v2": &lib.count, "nvmlDeviceGetHandleByIndex_v2": &lib.handle,
		"nvmlDeviceGetName": &lib.name, "nvmlDeviceGetMemoryInfo": &lib.memory,
		"nvmlDeviceGetCudaComputeCapability": &lib.compute, "nvmlDeviceGetPciInfo_v3": &lib.pci,
		"nvmlDeviceGetMigMode": &lib.mig,
	} {
		at, err := purego.Dlsym(h, name)
		if err != nil {
			return lib, errors.Join(fmt.Errorf("find %s in %s: %w", name, path, err), lib.closeLibrary())
		}
		purego.RegisterFunc(f, at)
	}
	return lib, nil
}

func callError(call string, rc int32) error { return fmt.Errorf("%s returned %d", call, rc) }

func cstring(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(bytes.ToValidUTF8(b, []byte("?")))
}
