package hardware

import (
	"errors"
	"fmt"
	"strings"

	"cortex/events"
)

// clue is one sign of a virtual machine or a container.
type clue struct {
	kind        string // "" when it does not name the product
	description string // readable text for the evidence
	strong      bool   // it identifies the product with certainty
}

// hypervisors maps the hypervisor signatures of processors to kinds.
var hypervisors = map[string]string{
	"KVMKVMKVM": "kvm", "Linux KVM Hv": "kvm", "TCGTCGTCGTCG": "qemu", "VMwareVMware": "vmware", "Microsoft Hv": "hyperv",
	"XenVMMXenVMM": "xen", "bhyve bhyve ": "bhyve", "VBoxVBoxVBox": "virtualbox", " lrpepyh  vr": "parallels",
	"ACRNACRNACRN": "acrn", "QNXQVMBSQG": "qnx",
}

// dmiPrefixes maps prefixes of DMI fields to kinds of virtual machines.
var dmiPrefixes = []struct{ word, kind string }{
	{"VMware", "vmware"},
	{"innotek GmbH", "virtualbox"},
	{"VirtualBox", "virtualbox"},
	{"Xen", "xen"},
	{"HVM domU", "xen"},
	{"Parallels", "parallels"},
	{"BHYVE", "bhyve"},
	{"Apple Virtualization", "apple"},
	{"KVM", "kvm"},
	{"QEMU", "kvm"},
	{"OpenStack", "kvm"},
	{"Google Compute Engine", "kvm"},
	{"RHEV", "kvm"},
	{"oVirt", "kvm"},
	{"Firecracker", "kvm"},
	{"Virtual Machine", "hyperv"},
}

// virtualization adds whether this is a virtual machine, its kind, and the evidence. The
// facts about containers are independent of it.
func (r *factBuilder) virtualization(cpu cpuInfo, signature func() string, devices []device) {
	var clues []clue
	if signature != nil {
		if s := signature(); s != "" {
			clues = append(clues, clue{hypervisors[s], "the processor's hypervisor signature is " + strings.TrimSpace(sanitize(s)), true})
		}
	}
	for _, name := range []string{"product_name", "sys_vendor", "board_vendor", "bios_vendor"} {
		v := r.value("dmi." + name).String()
		for _, w := range dmiPrefixes {
			if strings.HasPrefix(v, w.word) {
				clues = append(clues, clue{w.kind, "/sys/class/dmi/id/" + name + " is " + v, true})
				break
			}
		}
	}
	clues = append(clues, r.kernelClues(cpu)...)
	for _, d := range devices {
		if d.vendor == vendorVirtio && d.bus == "pci" {
			clues = append(clues, clue{"kvm", "a PCI device has the virtio vendor number", false})
			break
		}
	}
	clues = r.dropXenDom0Clues(clues)
	r.guestChannels()
	r.addVMKind(cpu, clues)
}

// guestChannels adds the names of the virtio ports between the host and programs in this guest.
func (r *factBuilder) guestChannels() {
	const dir = "sys/class/virtio-ports"
	var names []string
	for _, port := range r.list(dir) {
		if s, err := r.text(dir + "/" + port + "/name"); err == nil && s != "" {
			names = append(names, s)
		}
	}
	if names != nil {
		r.addCertain("vm.channels", events.ListValue(names), "/"+dir)
	}
}

// kernelClues returns the clues in files of the kernel.
func (r *factBuilder) kernelClues(cpu cpuInfo) []clue {
	var clues []clue
	if cpu.has("hypervisor") {
		clues = append(clues, clue{"", "the processor has the flag hypervisor", true})
	}
	if cpu.first["vendor_id"] == "User Mode Linux" {
		clues = append(clues, clue{"uml", "/proc/cpuinfo names User Mode Linux", true})
	}
	if s, err := r.text("sys/hypervisor/type"); err == nil && s != "" {
		clues = append(clues, clue{s, "/sys/hypervisor/type is " + s, true})
	}
	if s, err := r.text("proc/device-tree/hypervisor/compatible"); err == nil && s != "" {
		kind, _, _ := strings.Cut(strings.TrimPrefix(s, "linux,"), ",")
		clues = append(clues, clue{kind, "the device tree's hypervisor is " + s, true})
	}
	if s, err := r.text("sys/devices/system/clocksource/clocksource0/available_clocksource"); err == nil {
		for _, c := range []struct{ word, kind string }{{"kvm-clock", "kvm"}, {"hyperv_clocksource_tsc_page", "hyperv"}, {"xen", "xen"}} {
			if strings.Contains(" "+s+" ", " "+c.word+" ") {
				clues = append(clues, clue{c.kind, "the kernel offers the clock " + c.word, true})
			}
		}
	}
	if s, err := r.read("proc/sysinfo"); err == nil { // s390x
		if v := parseFields(s, ":")["VM00 Control Program"]; v != "" {
			kind := "zvm"
			if strings.HasPrefix(v, "KVM") {
				kind = "kvm"
			}
			clues = append(clues, clue{kind, "/proc/sysinfo names " + sanitize(v), true})
		}
	}
	return clues
}

// dropXenDom0Clues removes the clues of Xen in the control domain (dom0), which is not a guest.
func (r *factBuilder) dropXenDom0Clues(clues []clue) []clue {
	if s, err := r.text("proc/xen/capabilities"); err != nil || !strings.Contains(s, "control_d") {
		return clues
	}
	var out []clue
	for _, c := range clues {
		if c.kind != "xen" && c.kind != "" {
			out = append(out, c)
		}
	}
	return out
}

func (r *factBuilder) addVMKind(cpu cpuInfo, clues []clue) {
	const source = "vm.evidence"
	evidence := []string{}
	kind, confidence := "", events.ConfidenceGuess
	for _, c := range clues {
		evidence = append(evidence, c.description)
		switch {
		case kind == "" && c.kind != "":
			kind = c.kind
			if c.strong {
				confidence = events.ConfidenceCertain
			}
		case c.kind == "kvm" && c.strong && kind == "hyperv":
			kind = "kvm" // KVM can emulate the interface of Hyper-V
		}
	}
	r.addDerived("vm.evidence", events.ListValue(evidence), "each entry names its source")
	if len(cpu.first) == 0 && len(clues) == 0 {
		r.addUnknown("vm.kind", cpuInfoPath, errors.New("the file cannot be read"))
		r.addUnknown("vm.is", cpuInfoPath, errors.New("the file cannot be read"))
		return
	}
	is := events.HardwareFact{Key: "vm.is", Value: events.BoolValue(len(clues) > 0), Source: source, Confidence: events.ConfidenceDerived}
	switch x86 := cpu.arch == "x86_64" || cpu.arch == "i686"; {
	case kind != "":
		r.add(events.HardwareFact{Key: "vm.kind", Value: events.TextValue(kind), Source: source, Confidence: confidence})
	case len(clues) > 0:
		r.addUnknown("vm.kind", source, errors.New("a hypervisor is present, but its kind is unknown"))
	case x86:
		r.addDerived("vm.kind", events.TextValue("none"), "the processor does not have the flag hypervisor")
	default:
		is.Confidence = events.ConfidenceGuess
		r.add(events.HardwareFact{Key: "vm.kind", Value: events.TextValue("none"), Source: "no clue of a virtual machine", Confidence: events.ConfidenceGuess})
	}
	r.add(is)
}

// firstPIDNamespace is the initial PID namespace. The kernel assigns fixed numbers to its
// initial namespaces (include/linux/proc_ns.h).
const firstPIDNamespace = "pid:[4026531836]"

// container adds whether this process runs in a container, and its kind. A process in the
// initial PID namespace is not in a container. Files such as /.dockerenv only name the kind,
// because images can bring them to other machines.
func (r *factBuilder) container() {
	const source = "/proc/self/ns/pid"
	clues := r.containerClues()
	evidence := []string{}
	kind := ""
	for _, c := range clues {
		evidence = append(evidence, c.description)
		if kind == "" {
			kind = c.kind
		}
	}
	ns, err := r.link("proc/self/ns/pid")
	addKind := func(kind string, confidence events.Confidence, reason string) {
		evidence = append([]string{reason}, evidence...)
		r.add(events.HardwareFact{Key: "container.kind", Value: events.TextValue(kind), Source: source, Confidence: confidence})
		r.addDerived("container.is", events.BoolValue(kind != "none"), source)
	}
	switch {
	case r.isWSL():
		addKind("wsl", events.ConfidenceCertain, "/proc/version names Microsoft")
	case err == nil && ns == firstPIDNamespace:
		reason := ns + " is the kernel's initial PID namespace"
		if len(clues) > 0 {
			reason += ", so the other clues do not count"
		}
		addKind("none", events.ConfidenceCertain, reason)
	case err == nil && kind != "":
		addKind(kind, events.ConfidenceCertain, sanitize(ns)+" is not the kernel's initial PID namespace")
	case err == nil:
		addKind("namespace", events.ConfidenceDerived, sanitize(ns)+" is not the kernel's initial PID namespace, but no clue names a container")
	case kind != "":
		addKind(kind, events.ConfidenceGuess, fmt.Sprintf("the PID namespace cannot be read (%s)", errorText(err)))
	default:
		r.addUnknown("container.kind", source, err)
		r.addUnknown("container.is", source, err)
	}
	r.addDerived("container.evidence", events.ListValue(evidence), "each entry names its source")
}

func (r *factBuilder) isWSL() bool {
	s, err := r.text("proc/version")
	return err == nil && strings.Contains(strings.ToLower(s), "microsoft")
}

// containerClues returns the clues that name a kind of container.
func (r *factBuilder) containerClues() []clue {
	var clues []clue
	if s, err := r.text("run/systemd/container"); err == nil && s != "" {
		clues = append(clues, clue{kind: s, description: "/run/systemd/container is " + s})
	}
	if r.exists("run/.containerenv") {
		clues = append(clues, clue{kind: "podman", description: "/run/.containerenv exists"})
	}
	if r.exists("var/run/secrets/kubernetes.io") {
		clues = append(clues, clue{kind: "kubernetes", description: "/var/run/secrets/kubernetes.io exists"})
	}
	if text, err := r.read("proc/self/cgroup"); err == nil {
		for _, w := range []struct{ word, kind string }{{"kubepods", "kubernetes"}, {"docker", "docker"}, {"libpod", "podman"}, {"/lxc", "lxc"}} {
			if strings.Contains(text, w.word) {
				clues = append(clues, clue{kind: w.kind, description: "/proc/self/cgroup contains " + w.word})
			}
		}
	}
	if r.exists(".dockerenv") {
		clues = append(clues, clue{kind: "docker", description: "/.dockerenv exists"})
	}
	return clues
}
