package hardware_test

import (
	"slices"
	"strings"
	"testing"

	"cortex/events"
	"cortex/producers/hardware"
)

const (
	first  = "pid:[4026531836]"
	inside = "pid:[4026532252]"
)

func TestVirtualMachineClues(t *testing.T) {
	for name, c := range map[string]struct {
		signature        string
		files            map[string]string
		kind, confidence string
	}{
		"nothing":                   {"", map[string]string{"proc/cpuinfo": ownCPU}, "none", "derived"},
		"only the flag":             {"", map[string]string{"proc/cpuinfo": vmCPU}, "? a hypervisor is present, but its kind is unknown", "unknown"},
		"a signature":               {"KVMKVMKVM", map[string]string{"proc/cpuinfo": vmCPU}, "kvm", "certain"},
		"an unknown signature":      {"Whatever", map[string]string{"proc/cpuinfo": vmCPU}, "? a hypervisor is present, but its kind is unknown", "unknown"},
		"firmware":                  {"", map[string]string{"proc/cpuinfo": vmCPU, "sys/class/dmi/id/sys_vendor": "VMware, Inc."}, "vmware", "certain"},
		"KVM that emulates Hyper-V": {"Microsoft Hv", map[string]string{"proc/cpuinfo": vmCPU, "sys/class/dmi/id/sys_vendor": "QEMU"}, "kvm", "certain"},
		"Hyper-V":                   {"Microsoft Hv", map[string]string{"proc/cpuinfo": vmCPU, "sys/class/dmi/id/product_name": "Virtual Machine"}, "hyperv", "certain"},
		"a Microsoft Surface":       {"", map[string]string{"proc/cpuinfo": ownCPU, "sys/class/dmi/id/sys_vendor": "Microsoft Corporation"}, "none", "derived"},
		"a clock":                   {"", map[string]string{"proc/cpuinfo": vmCPU, "sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc kvm-clock\n"}, "kvm", "certain"},
		"Xen":                       {"", map[string]string{"proc/cpuinfo": vmCPU, "sys/hypervisor/type": "xen\n"}, "xen", "certain"},
		"the control domain of Xen": {"", map[string]string{"proc/cpuinfo": ownCPU, "sys/hypervisor/type": "xen\n", "proc/xen/capabilities": "control_d\n"}, "none", "derived"},
		"User-Mode Linux":           {"", map[string]string{"proc/cpuinfo": "processor\t: 0\nvendor_id\t: User Mode Linux\n"}, "uml", "certain"},
		"z/VM":                      {"", map[string]string{"proc/cpuinfo": "vendor_id       : IBM/S390\n", "proc/sysinfo": "VM00 Control Program: z/VM 7.2.0\n"}, "zvm", "certain"},
		"a device tree":             {"", map[string]string{"proc/cpuinfo": "CPU implementer : 0x41\n", "proc/device-tree/hypervisor/compatible": "linux,kvm\x00"}, "kvm", "certain"},
		"arm without clues":         {"", map[string]string{"proc/cpuinfo": "CPU implementer : 0x41\nCPU architecture: 8\n"}, "none", "guess"},
		"no /proc/cpuinfo":          {"", nil, "? the file cannot be read", "unknown"},
		"virtio and a flag, no firmware": {"", map[string]string{
			"proc/cpuinfo": vmCPU, "sys/bus/pci/devices/0000:00:01.0/modalias": "pci:v00001AF4d00001045sv00001AF4sd00001045bcFFscFFi00",
		}, "kvm", "guess"},
	} {
		t.Run(name, func(t *testing.T) {
			r := collect(t, files(c.files), func(cfg *hardware.Config) { cfg.Hypervisor = func() string { return c.signature } })
			expect(t, r, map[string]string{"vm.kind": c.kind})
			if f, _ := events.FindHardwareFact(r.Facts, "vm.kind"); string(f.Confidence) != c.confidence {
				t.Errorf("confidence: got %s, want %s", f.Confidence, c.confidence)
			}
			if f, _ := events.FindHardwareFact(r.Facts, "vm.is"); f.Known() && f.Value.IsTrue() != (c.kind != "none") {
				t.Errorf("vm.is is %s", f.Value)
			}
		})
	}
}

func TestContainersAreRecognizedByTheirNamespace(t *testing.T) {
	for name, c := range map[string]struct {
		files            map[string]string
		kind, confidence string
	}{
		"none":                       {map[string]string{"proc/self/ns/pid@": first}, "none", "certain"},
		"a stale .dockerenv":         {map[string]string{"proc/self/ns/pid@": first, ".dockerenv": ""}, "none", "certain"},
		"Docker":                     {map[string]string{"proc/self/ns/pid@": inside, ".dockerenv": ""}, "docker", "certain"},
		"Podman":                     {map[string]string{"proc/self/ns/pid@": inside, "run/.containerenv": ""}, "podman", "certain"},
		"Kubernetes":                 {map[string]string{"proc/self/ns/pid@": inside, "proc/self/cgroup": "0::/kubepods/x\n"}, "kubernetes", "certain"},
		"systemd-nspawn":             {map[string]string{"proc/self/ns/pid@": inside, "run/systemd/container": "systemd-nspawn\n"}, "systemd-nspawn", "certain"},
		"a namespace without a clue": {map[string]string{"proc/self/ns/pid@": inside}, "namespace", "derived"},
		"a clue, no namespace file":  {map[string]string{".dockerenv": ""}, "docker", "guess"},
		"neither":                    {nil, "? no such file", "unknown"},
		"WSL":                        {map[string]string{"proc/self/ns/pid@": inside, "proc/version": "Linux version 5.15.153.1-microsoft-standard-WSL2"}, "wsl", "certain"},
	} {
		t.Run(name, func(t *testing.T) {
			r := collect(t, files(c.files))
			expect(t, r, map[string]string{"container.kind": c.kind})
			if f, _ := events.FindHardwareFact(r.Facts, "container.kind"); string(f.Confidence) != c.confidence {
				t.Errorf("confidence: got %s, want %s", f.Confidence, c.confidence)
			}
		})
	}
}

// TestThisMachineByItsOwnEvidence compares the facts of this machine with the processor flag
// and the PID namespace.
func TestThisMachineByItsOwnEvidence(t *testing.T) {
	r, err := hardware.New(hardware.LocalConfig("/", nil)).Collect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v := values(r, "container.kind", "vm.is", "cpu.flags", "container.evidence")
	flag := slices.Contains(strings.Fields(v["cpu.flags"]), "hypervisor")
	if flag && v["vm.is"] != "true" {
		t.Errorf("the processor has the flag hypervisor, but vm.is is %q", v["vm.is"])
	}
	initial := strings.Contains(v["container.evidence"], first)
	if initial != (v["container.kind"] == "none") {
		t.Errorf("container.kind is %q with the evidence %s", v["container.kind"], v["container.evidence"])
	}
}
